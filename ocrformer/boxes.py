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
_ASTRAY = 0.03
"""Pixels of full ink that a cut rather crosses than to lie a pixel off halfway between two characters; it counts by the
square of the distance. Without it the gap within a syllable (사) is preferred to the slightly grey one behind it."""
_LATE = 3  # pixels by which middles of narrow letters can come too late, so that their cell has no ink
_APART = 3  # what is farther from a character than a third of the line's height is a speck, a rule, an edge of paper
_RULED = 0.9  # share of a row between the first and the last character that only rules and underlines fill

_Columns = npt.NDArray[np.floating[Any]]
_Ink = npt.NDArray[np.bool_]
_Corners = tuple[int, int, int, int]  # left, top, right, bottom


def character_boxes(line: Pixels, texts: Sequence[str], middles: _Columns) -> list[Box]:
    """Where each character is.

    Neighbours are divided between their middles, near halfway where there is little ink; each box then shrinks to its
    ink. A space takes what its neighbours leave.

    Args:
        line: Prepared line (height, width).
        texts: Characters, spaces included.
        middles: Column of each character's middle in pixels, not decreasing.
    """
    if not texts:
        return []
    height, width = line.shape
    ink = np.maximum(line.astype(np.int32) - PAPER, 0)
    inked, profile = ink > _INK, ink.sum(axis=0) / (255 - PAPER)
    printed = inked & ~_ruled(inked, middles)
    middles = _on_ink(inked, profile, texts, _in_gaps(printed.max(axis=0), texts, middles))
    cells = _cells(profile, middles)
    places = [
        _tight(printed[:, left:right] if printed[:, left:right].any() else inked[:, left:right], left, middle - left)
        for (left, right), middle in zip(cells, middles, strict=True)
    ]
    for index in [index for index, text in enumerate(texts) if text == " "]:
        left = min(places[index - 1][2], width - 1) if index else 0
        right = places[index + 1][0] if index + 1 < len(places) else width
        places[index] = left, 0, max(left + 1, right), height
    return [Box(left / width, top / height, right / width, bottom / height) for left, top, right, bottom in places]


def _in_gaps(inked: _Ink, texts: Sequence[str], middles: _Columns) -> _Columns:
    """The middles, those of spaces in the widest gap of ink between their neighbours': CTC can be late with them."""
    moved = np.array(middles, np.float64)
    for index in [index for index, text in enumerate(texts[1:-1], 1) if text == " "]:
        low, high = max(round(middles[index - 1]), 0), round(middles[index + 1])
        empty: npt.NDArray[np.int64] = low + np.flatnonzero(~inked[low:high])
        if empty.size:
            widest = max(np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1), key=len)
            moved[index] = (widest[0] + widest[-1]) / 2
    return moved


def _on_ink(inked: _Ink, profile: _Columns, texts: Sequence[str], middles: _Columns) -> _Columns:
    """The middles, those earlier whose characters would have no ink."""
    cells = zip(texts, _cells(profile, middles), strict=True)
    bare = [text != " " and not inked[:, left:right].any() for text, (left, right) in cells]
    return np.maximum.accumulate(np.maximum(middles - _LATE * np.array(bare), 0))


def _cells(profile: _Columns, middles: _Columns) -> list[tuple[int, int]]:
    """First column of each character, and the column behind its last."""
    cuts = [0, *(_cut(profile, one, other) for one, other in pairwise(middles)), len(profile)]
    return [(left, max(right, left + 1)) for left, right in pairwise(cuts)]


def _cut(profile: _Columns, one: float, other: float) -> int:
    """The column between two middles that has little ink and is near to halfway."""
    low = min(max(round(one), 0), len(profile) - 1)
    high = min(max(round(other), low + 1), len(profile))
    distance = np.arange(low, high) - (one + other) / 2
    return low + int(np.argmin(profile[low:high] + _ASTRAY * distance**2))


def _ruled(inked: _Ink, middles: _Columns) -> _Ink:
    """Rows that are a rule or an underline, (height, 1); none where there are few characters, which may fill a row."""
    written = inked[:, int(middles[0]) : int(middles[-1])]
    shares = written.mean(axis=1, keepdims=True) if written.shape[1] > 2 * len(inked) else np.zeros((len(inked), 1))
    ruled: _Ink = shares > _RULED
    return ruled


def _tight(cell: _Ink, left: int, middle: float) -> _Corners:
    """Around a cell's ink, of that alone which is at its character's middle or nearest to it."""
    columns = np.flatnonzero(cell.any(axis=0))
    if not columns.size:
        return left, 0, left + cell.shape[1], len(cell)
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > len(cell) // _APART) + 1)
    first, last = min(((int(run[0]), int(run[-1])) for run in runs), key=lambda run: _off(middle, *run))
    rows = np.flatnonzero(cell[:, first : last + 1].any(axis=1))
    return left + first, int(rows[0]), left + last + 1, int(rows[-1]) + 1


def _off(place: float, first: int, last: int) -> float:
    return max(first - place, place - last, 0.0)


def in_picture(box: Box, frame: Frame, height: int, width: int) -> Box:
    """The box of a frame as one of the picture of that size in which it lies."""
    rows, columns = frame.rows.shape
    top = float(frame.tops[min(columns - 1, int((box.left + box.right) / 2 * columns))])
    upper, lower = ((top + share * rows) / height for share in (box.top, box.bottom))
    left, right = ((share * columns - frame.left) / width for share in (box.left, box.right))
    return Box(max(0.0, left), max(0.0, upper), min(1.0, right), min(1.0, lower))
