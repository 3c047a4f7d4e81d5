"""Lines of many widths in one pass: pictures side by side on one strip, each read as in a batch of its own.

Batches of a few lines cost their operations more than their arithmetic, and every new shape costs its kernels. On a
strip all lines share each operation but attention, and whatever the lines, there are few lengths of strips. Between two
lines there is one empty column of the feature map, which is all that a 3x3 convolution sees of a neighbour. In bfloat16
no bit changes; in float32, where one line alone is multiplied otherwise than several, the last ones may.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrformer.image import PAPER
from ocrformer.model.backbone import inside
from ocrformer.model.network import STRIDE, Encoded, Network
from ocrformer.model.positions import positions_2d

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
    pictures = [F.pad(images, (0, STRIDE), value=PAPER)[:, 0] for images, _ in batches]
    columns = [mask.numel() // STRIDE for mask in used]
    room = -sum(columns) % (_STEP // STRIDE)
    strip = torch.cat([picture.transpose(0, 1).flatten(1) for picture in pictures], dim=1)  # (height, all widths)
    strip = F.pad(strip, (0, STRIDE * room), value=PAPER)
    inked = F.pad(torch.cat([mask.flatten() for mask in used]), (0, STRIDE * room))
    (features,) = network.features(strip[None, None], inked[None])  # (rows, all columns, d)
    masks = [mask[:, :-STRIDE:STRIDE] for mask in used]  # (B, columns)
    parts = torch.split(features, [*columns, room], dim=1)[:-1]
    tokens = [_tokens(part, mask) for part, mask in zip(parts, masks, strict=True)]
    memory = network.encoder.several(torch.cat(tokens), [network.token_mask(mask) for mask in masks])
    memories = torch.split(memory, [len(part) for part in tokens])
    shaped = [part.view(len(mask), -1, part.shape[1]) for part, mask in zip(memories, masks, strict=True)]
    return [network.understood(part, mask) for part, mask in zip(shaped, masks, strict=True)]


def _tokens(features: Tensor, mask: Tensor) -> Tensor:
    """Feature map of a batch's lines side by side, (rows, B * (columns + 1), d), to (B * rows * columns, d)."""
    rows, _, channels = features.shape
    batch, columns = mask.shape
    apart = features.view(rows, batch, columns + 1, channels)[:, :, :-1].transpose(0, 1)  # (B, rows, columns, d)
    places = positions_2d(rows, columns, channels, device=features.device)
    return (apart + places.to(features.dtype)).flatten(0, 2)
