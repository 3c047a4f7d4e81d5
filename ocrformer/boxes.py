"""Character boxes: CTC frames say roughly where a character is, the ink of the picture says exactly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrformer.framing import Frame
from ocrformer.image import PAPER, Pixels
from ocrformer.line import Box

_INK = 24  # levels above paper that count as ink


def character_boxes(line: Pixels, texts: Sequence[str], middles: npt.NDArray[np.floating[Any]]) -> list[Box]:
    """Where each character is.

    Neighbours are divided at the column with least ink between their middles; each box then shrinks to its ink.

    Args:
        line: Prepared line (height, width).
        texts: Characters, spaces included.
        middles: Column of each character's middle in pixels, not decreasing.
    """
    if not texts:
        return []
    height, width = line.shape
    ink = np.maximum(line.astype(np.int32) - PAPER, 0)
    profile = ink.sum(axis=0)
    cuts = [0, *(_cut(profile, a, b) for a, b in pairwise(middles)), width]
    boxes = []
    for text, (left, right) in zip(texts, pairwise(cuts), strict=True):
        right = max(right, left + 1)
        part = ink[:, left:right] > _INK
        if text != " " and part.any():
            columns, rows = np.flatnonzero(part.any(axis=0)), np.flatnonzero(part.any(axis=1))
            left, right = left + int(columns[0]), left + int(columns[-1]) + 1
            top, bottom = int(rows[0]), int(rows[-1]) + 1
            boxes.append(Box(left / width, top / height, right / width, bottom / height))
        else:
            boxes.append(Box(left / width, 0.0, right / width, 1.0))
    return boxes


def _cut(profile: npt.NDArray[np.int64], one: float, other: float) -> int:
    """The column between two middles with least ink, nearest to halfway where several have none."""
    low = int(np.clip(round(one), 0, len(profile) - 1))
    high = int(np.clip(round(other), low + 1, len(profile)))
    window = profile[low:high] // _INK
    distance = np.abs(np.arange(low, high) - (one + other) / 2)
    return low + int(np.lexsort((distance, window))[0])


def in_picture(box: Box, frame: Frame, height: int, width: int) -> Box:
    """The box of a frame as one of the picture of that size in which it lies."""
    rows, columns = frame.rows.shape
    top = float(frame.tops[min(columns - 1, int((box.left + box.right) / 2 * columns))])
    upper, lower = ((top + share * rows) / height for share in (box.top, box.bottom))
    left, right = ((share * columns - frame.left) / width for share in (box.left, box.right))
    return Box(max(0.0, left), max(0.0, upper), min(1.0, right), min(1.0, lower))
