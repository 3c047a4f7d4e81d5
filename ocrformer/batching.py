"""Prepared lines of several widths as one array."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ocrformer.image import PAPER, Pixels


def padded_width(width: int) -> int:
    """The width that a line is padded to, a function of its own width alone, at most an eighth more.

    Lines are batched only with lines of equal padded width: what a line meets in the network, and with it every
    rounding error, is then the same in any batch.
    """
    step = max(16, 1 << max(0, math.frexp(width - 1)[1] - 4))
    return -(-width // step) * step


def collate(lines: Sequence[Pixels], width: int | None = None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Pad prepared lines to one batch.

    Args:
        lines: (height, w) each.
        width: Pad to this, by default to the widest line.

    Returns:
        Batch (B, 1, height, W) and true widths (B,).
    """
    widths = np.array([line.shape[1] for line in lines], dtype=np.int64)
    batch = np.full((len(lines), 1, lines[0].shape[0], width or int(widths.max())), PAPER, np.uint8)
    for row, line in zip(batch, lines, strict=True):
        row[0, :, : line.shape[1]] = line
    return batch, widths
