"""Prepared lines of several widths as one array."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ocrformer.framing import ADDED
from ocrformer.image import PAPER, Pixels

Group = tuple[int, list[int]]
"""Padded width, and indices of lines that share it."""


def as_prepared(lines: Iterable[Pixels], height: int) -> list[Pixels]:
    """Lines as `OCRformer.prepare` makes them, (H, W) each.

    Raises:
        TypeError: If one is something else.
    """
    kept = list(lines)
    for line in kept:
        if not (isinstance(line, np.ndarray) and line.dtype == np.uint8 and line.ndim == 2 and line.size):
            raise TypeError("prepared lines are a list of what `prepare` returned; `read` takes pictures")
        if len(line) < height - ADDED:
            least = f"{height - ADDED} rows or more"
            raise TypeError(f"a prepared line has {least}, not {len(line)}: use what `prepare` returned")
    return kept


def padded_width(width: int) -> int:
    """The width that a line is padded to, a function of its own width alone: an eighth more or 15 pixels, at most.

    Lines are batched only with lines of equal padded width: what a line meets in the network, and with it every
    rounding error, is then the same in any batch.
    """
    step = max(16, 1 << max(0, (width - 1).bit_length() - 4))
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


def bunches(lines: Sequence[Pixels], pixels: int, workers: int) -> list[list[Group]]:
    """Bunches of about equal work, wide lines first: batches of equal padded width that the network reads together.

    Args:
        lines: Prepared lines.
        pixels: Columns of a bunch at most, but for its last line.
        workers: Where there are lines enough, the number of bunches is a multiple of this: all have work to the end.
    """
    widths = [padded_width(line.shape[1]) for line in lines]
    total = sum(widths)
    count = workers * -(-total // (workers * pixels))
    dealt: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(count)]
    before = 0
    for index in sorted(range(len(lines)), key=widths.__getitem__, reverse=True):
        dealt[before * count // total][widths[index]].append(index)
        before += widths[index]
    return [list(bunch.items()) for bunch in dealt if bunch]
