"""A network that learns new characters: the charset grows at its end, every old weight keeps its place."""

from __future__ import annotations

import torch
from torch import Tensor

from ocrformer.charset import SPECIALS
from ocrformer.model.network import Bundle, Network

_NOISE = 0.02
_CTC_BIAS = -2.0  # new characters start unlikely, so that old text is read as before


def grow(bundle: Bundle, characters: str) -> Bundle:
    """The bundle with some more characters; the same bundle if it knows them all.

    Rows of new characters start as the mean of all old ones with a little noise.

    Args:
        bundle: Left unchanged.
        characters: New and known ones, in any order.
    """
    charset = bundle.charset.extend(characters)
    added = len(charset) - len(bundle.charset)
    if not added:
        return bundle
    network = Network(bundle.network.config, len(charset))
    state = bundle.network.state_dict()
    generator = torch.Generator().manual_seed(added)
    for name in ("decoder.embedding.weight", "ctc_head.weight"):
        state[name] = torch.cat((state[name], _new_rows(state[name], added, generator)))
    bias = state["ctc_head.bias"]
    state["ctc_head.bias"] = torch.cat((bias, (bias[SPECIALS:].mean() + _CTC_BIAS).expand(added)))
    network.load_state_dict(state)
    return Bundle(network, charset, dict(bundle.details))


def _new_rows(weight: Tensor, count: int, generator: torch.Generator) -> Tensor:
    mean = weight[SPECIALS:].mean(dim=0, keepdim=True)
    return mean + _NOISE * torch.randn(count, weight.shape[1], generator=generator)
