"""Where the network looked: the three attentions of an encoder-decoder as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ocrformer.batching import collate
from ocrformer.charset import BOS, Charset
from ocrformer.image import Pixels
from ocrformer.model.network import Network

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Attention:
    """Attention of one line; every distribution sums to one.

    Attributes:
        line: The picture that the network saw, (height, width).
        characters: What was written.
        picture: Decoder to picture, (layers, heads, characters + 1, rows, columns); the last entry is the line's end.
        own: Decoder to what it had written, (layers, heads, characters + 1, characters + 1): entry [..., t, s] is the
            attention paid to the s-th input when writing character t; the first input is the line's beginning.
        encoder: Encoder positions to each other, (layers, heads, rows * columns, rows * columns).
    """

    line: Pixels
    characters: tuple[str, ...]
    picture: Array
    own: Array
    encoder: Array

    def maps(self, layer: int | None = None, head: int | None = None) -> Array:
        """Where the decoder looked for each character, (characters, rows, columns).

        Args:
            layer: Layer from 0, or None for the mean of all.
            head: Head from 0, or None for the mean of all.

        Raises:
            ValueError: If there is no such layer or head.
        """
        return _chosen(self.picture, layer, head)[: len(self.characters)]

    def encoder_maps(self, layer: int | None = None, head: int | None = None) -> Array:
        """Where the encoder looked from the place of each character, (characters, rows, columns); see `maps`."""
        shown = self.maps()
        places = shown.reshape(len(shown), shown.shape[1] * shown.shape[2]).argmax(axis=1)
        maps: Array = _chosen(self.encoder, layer, head)[places].reshape(shown.shape)
        return maps

    def earlier(self, layer: int | None = None, head: int | None = None) -> Array:
        """Attention of each character to the line's beginning and all characters, (characters, characters + 1)."""
        return _chosen(self.own, layer, head)[: len(self.characters)]


def _chosen(weights: Array, layer: int | None, head: int | None) -> Array:
    return _choose(_choose(weights, layer, "layer"), head, "head")


def _choose(weights: Array, index: int | None, what: str) -> Array:
    if index is None:
        mean: Array = weights.mean(axis=0)
        return mean
    if not 0 <= index < len(weights):
        raise ValueError(f"{what} must be from 0 to {len(weights) - 1}, got {index}")
    one: Array = weights[index]
    return one


@torch.inference_mode()
def attend(network: Network, charset: Charset, line: Pixels, ids: Sequence[int]) -> Attention:
    """Attention of a network over one line while it writes the given text.

    Args:
        network: In eval mode.
        charset: Meaning of the ids.
        line: Prepared line.
        ids: The text.
    """
    device = next(network.parameters()).device
    images, widths = (torch.from_numpy(array).to(device) for array in collate([line]))
    tokens, mask = network.look(images, widths)
    token_mask = network.token_mask(mask)
    memory = network.decoder.remember(network.encoder(tokens, token_mask), token_mask)
    written = torch.tensor([[BOS, *ids]], device=device)
    own, (_, picture) = network.decoder.looked_back(written, memory), network.decoder.explained(written, memory)
    groups = charset.groups(ids)
    cross = _stack(picture)  # (layers, heads, T, rows * columns)
    cross = _merge(cross, groups, len(ids), axis=2).reshape(*cross.shape[:2], -1, network.config.rows, mask.shape[1])
    back = _merge(_merge(_stack(own), groups, len(ids), axis=2), groups, len(ids), axis=3, inputs=True)
    encoder = _stack(network.encoder.attention(tokens, token_mask))
    return Attention(line, tuple(text for text, _, _ in groups), cross, back, encoder)


def _stack(weights: Sequence[Tensor]) -> Array:
    """Layers of (1, heads, T, N) to one array (layers, heads, T, N)."""
    stacked: Array = torch.stack([layer[0] for layer in weights]).float().cpu().numpy()
    return stacked


def _merge(
    weights: Array, groups: Sequence[tuple[str, int, int]], count: int, *, axis: int, inputs: bool = False
) -> Array:
    """Ids to characters along an axis: mean over the ids of a Hangul syllable, sum where they are attended to.

    Outputs are numbered 0..count - 1 and end with the line's end; inputs begin with the line's beginning.
    """
    shift = 1 if inputs else 0
    spans = [(start + shift, end + shift) for _, start, end in groups]
    spans = [(0, 1), *spans] if inputs else [*spans, (count, count + 1)]
    join = np.sum if inputs else np.mean
    parts = [join(weights.take(range(start, end), axis=axis), axis=axis, keepdims=True) for start, end in spans]
    merged: Array = np.concatenate(parts, axis=axis)
    return merged
