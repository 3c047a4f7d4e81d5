"""Lines of many widths in one pass: pictures side by side on one strip, each read as in a batch of its own.

Batches of a few lines cost their operations more than their arithmetic, and every new shape costs its kernels. On a
strip all lines share each operation but attention, and whatever the lines, there are few lengths of strips. Between two
lines there is one empty column of the feature map, which is all that a 3x3 convolution sees of a neighbour. In bfloat16
no bit changes; in float32, where one line alone is multiplied otherwise than several, the last ones may.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrformer.image import PAPER
from ocrformer.model.backbone import inside
from ocrformer.model.network import STRIDE, Encoded, Network

Batch = tuple[Tensor, Tensor]
"""Prepared lines, uint8 (B, 1, height, W) with W a multiple of 4, and their true widths (B,) in pixels."""

_LONGEST = 8192  # pixels of a strip of several batches: three rows of its features still fit the second cache of a core
_STEP = 256  # lengths of strips are multiples of this many pixels


def encode(network: Network, batches: Sequence[Batch]) -> list[Encoded]:
    """What `network.encode` makes of each batch."""
    strips: list[list[Batch]] = []
    room = 0
    for images, widths in batches:
        width = len(images) * (images.shape[-1] + STRIDE)
        if width > room:
            strips.append([])
            room = _LONGEST
        strips[-1].append((images, widths))
        room -= width
    return [encoded for strip in strips for encoded in _encode(network, strip)]


def _encode(network: Network, batches: Sequence[Batch]) -> list[Encoded]:
    if len(batches) == 1:
        return [network.encode(*batches[0])]
    used = [F.pad(inside(widths, images.shape[-1]), (0, STRIDE)) for images, widths in batches]
    pictures = [F.pad(images, (0, STRIDE), value=PAPER)[:, 0] for images, _ in batches]  # (B, height, W + 4)
    room = -sum(mask.numel() for mask in used) % _STEP
    strip = F.pad(
        torch.cat([picture.transpose(0, 1).flatten(1) for picture in pictures], dim=1), (0, room), value=PAPER
    )
    inked = F.pad(torch.cat([mask.flatten() for mask in used]), (0, room))
    (features,) = network.features(strip[None, None], inked[None])  # (rows, all columns, d)
    masks = [mask[:, :-STRIDE:STRIDE] for mask in used]  # (B, columns)
    tokens = [network.placed(part).flatten(0, 1) for part in _apart(features, masks)]
    memory = network.encoder.several(torch.cat(tokens), [network.token_mask(mask) for mask in masks])
    memories = torch.split(memory, [len(part) for part in tokens])
    return [
        network.understood(part.view(len(mask), -1, part.shape[1]), mask)
        for part, mask in zip(memories, masks, strict=True)
    ]


def _apart(features: Tensor, masks: Sequence[Tensor]) -> Iterator[Tensor]:
    """Feature map of a strip, (rows, all columns, d), to those of each batch's lines, (B, rows, columns, d)."""
    rows, _, channels = features.shape
    start = 0
    for batch, columns in (mask.shape for mask in masks):
        end = start + batch * (columns + 1)
        yield features[:, start:end].view(rows, batch, columns + 1, channels)[:, :, :-1].transpose(0, 1)
        start = end
