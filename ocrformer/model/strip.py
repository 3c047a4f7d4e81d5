"""Lines of many widths in one pass: pictures side by side on one strip, each read as in a batch of its own.

Batches of a few lines cost their operations more than their arithmetic, and every new shape costs a CPU its kernels,
half a millisecond each. On a strip all lines share each operation but attention, and whatever the lines, there are few
lengths of strips; batches of many lines are cut to strips as well, for whose shapes there are kernels. Between two
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
_STEP = 256  # lengths of strips are multiples of this many pixels,
_ROWS = 256  # and what linear layers are given has multiples of this many rows


def encode(network: Network, batches: Sequence[Batch]) -> list[Encoded]:
    """What `network.encode` makes of the batches: of the same lines in the same order, but in parts of batches."""
    parts = [part for batch in batches for part in _parts(batch)]
    strips: list[list[int]] = []
    room = 0
    for index in sorted(range(len(parts)), key=lambda index: -_length(parts[index])):
        if _length(parts[index]) > room:
            strips.append([])
            room = _LONGEST
        strips[-1].append(index)
        room -= _length(parts[index])
    encoded: dict[int, Encoded] = {}
    for strip in strips:
        encoded |= zip(strip, _encode(network, [parts[index] for index in strip]), strict=True)
    return [encoded[index] for index in range(len(parts))]


def _parts(batch: Batch) -> Iterator[Batch]:
    """As many lines at a time as fit on a strip; all of them where shapes cost nothing."""
    images, widths = batch
    size = max(1, _LONGEST // (images.shape[-1] + STRIDE)) if images.device.type == "cpu" else len(images)
    return zip(torch.split(images, size), torch.split(widths, size), strict=True)


def _length(part: Batch) -> int:
    return len(part[0]) * (part[0].shape[-1] + STRIDE)


def _encode(network: Network, batches: Sequence[Batch]) -> list[Encoded]:
    if len(batches) == 1 and (len(batches[0][0]) == 1 or _length(batches[0]) > _LONGEST):
        return [network.encode(*batches[0])]
    tokens, masks = _look(network, batches)
    token_masks = [network.token_mask(mask) for mask in masks]
    memories = _cut(network.encoder.several(_filled(tokens), token_masks), token_masks)
    columns = torch.cat([network.columns(memory).flatten(0, 1) for memory in memories])
    logits = _cut(network.ctc_head(_filled(columns)), masks)
    return [
        Encoded(memory, token_mask, ctc, mask.sum(dim=1))
        for memory, token_mask, ctc, mask in zip(memories, token_masks, logits, masks, strict=True)
    ]


def _look(network: Network, batches: Sequence[Batch]) -> tuple[Tensor, list[Tensor]]:
    """Tokens of all batches, (sum of all B * N, d), and their column masks (B, columns), as `network.look` does."""
    used = [F.pad(inside(widths, images.shape[-1]), (0, STRIDE)) for images, widths in batches]
    pictures = [F.pad(images, (0, STRIDE), value=PAPER)[:, 0] for images, _ in batches]  # (B, height, W + 4)
    room = -sum(mask.numel() for mask in used) % _STEP
    strip = F.pad(
        torch.cat([picture.transpose(0, 1).flatten(1) for picture in pictures], dim=1), (0, room), value=PAPER
    )
    inked = F.pad(torch.cat([mask.flatten() for mask in used]), (0, room))
    (features,) = network.features(strip[None, None], inked[None])  # (rows, all columns, d)
    masks = [mask[:, :-STRIDE:STRIDE] for mask in used]
    return torch.cat([network.placed(part).flatten(0, 1) for part in _apart(features, masks)]), masks


def _filled(rows: Tensor) -> Tensor:
    """Rows (S, d) and empty ones after them."""
    return F.pad(rows, (0, 0, 0, -len(rows) % _ROWS))


def _cut(rows: Tensor, masks: Sequence[Tensor]) -> list[Tensor]:
    """Rows (S, d) to (B, N, d) for each mask (B, N); empty ones at the end are left out."""
    sizes = [mask.numel() for mask in masks]
    parts = torch.split(rows[: sum(sizes)], sizes)
    return [part.view(*mask.shape, -1) for part, mask in zip(parts, masks, strict=True)]


def _apart(features: Tensor, masks: Sequence[Tensor]) -> Iterator[Tensor]:
    """Feature map of a strip, (rows, all columns, d), to those of each batch's lines, (B, rows, columns, d)."""
    rows, _, channels = features.shape
    start = 0
    for batch, columns in (mask.shape for mask in masks):
        end = start + batch * (columns + 1)
        yield features[:, start:end].view(rows, batch, columns + 1, channels)[:, :, :-1].transpose(0, 1)
        start = end
