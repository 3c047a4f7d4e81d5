"""Weights whose readings another network imitates (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ocrformer.charset import Charset
from ocrformer.config import OptionError
from ocrformer.hardware import fast_eight_bits
from ocrformer.model.backbone import inside
from ocrformer.model.frozen import frozen
from ocrformer.model.network import STRIDE, Network, load
from ocrformer.reader import weights_path
from ocrformer.training.batches import LabelledBatch
from ocrformer.training.losses import drift


class Teacher:
    """Reads the pictures of a batch as its CTC head does. What holds one shares it with its copies: it never changes.

    Args:
        weights: `default` or a file.
        charset: Of the network that is taught.

    Raises:
        WeightsError: If the weights cannot be used.
        OptionError: If their charset is another one.
    """

    def __init__(self, weights: str, charset: Charset) -> None:
        bundle = load(weights_path(weights))
        if bundle.charset.characters != charset.characters:
            raise OptionError(f"teacher {weights}: its charset is not that of the network to be taught")
        self._network = bundle.network
        self._ready: Network | None = None

    def __deepcopy__(self, memo: Any) -> Teacher:
        return self

    def distance(self, logits: Tensor, batch: LabelledBatch, offset: int) -> Tensor:
        """KL divergence of CTC logits (B, columns, V) from the teacher's, in nats per character.

        Args:
            logits: What the network makes of the batch.
            batch: With images, widths and lengths.
            offset: Number of the first column for the positions.
        """
        device = batch.images.device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            if self._ready is None:
                self._ready = frozen(self._network, torch.float32, eight_bits=fast_eight_bits(device)).to(device)
            before = self._ready.encode(batch.images, batch.widths, offset=offset).ctc
        real = inside(batch.widths, batch.images.shape[-1])[:, ::STRIDE]
        return drift(logits, before, real, batch.lengths.sum())
