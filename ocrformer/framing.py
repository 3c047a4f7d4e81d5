"""Loosely cut pictures: print is brought to its usual height, whatever empty paper lies above and below it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PRINT = 48  # range of grey levels in a row or column that holds print
_LOOSE = 0.5  # share of the height that print has in pictures that are not loosely cut, at least
_FLAT = 0.15  # and at most that much in what is left as it is: rules, and what would grow beyond measure
_LONG = 4  # times as long as high: shorter print may be a hyphen or a lone letter, whose height tells nothing
_DENSE = 0.8  # share of the rows between its first and its last that hold print, at least: rules have gaps between them
_FILLED = 0.3  # likewise of columns: specks have wider ones
_MARGIN = 0.25  # heights of the print that are left above and below it


def height_for(grey: npt.NDArray[np.uint8], height: int) -> int:
    """Rows that a picture is scaled to so that its line has `height` of them: as many, or more if it is loosely cut.

    Where paper is dirty, other lines show, or what there is looks like no line of print, it has as many.

    Args:
        grey: (H, W) grey levels.
        height: Line height of the model.
    """
    rows = _printed(grey, axis=1)
    tall = _extent(rows)
    if not _FLAT * len(grey) < tall < _LOOSE * len(grey) or len(rows) < _DENSE * tall:
        return height
    columns = _printed(grey[rows[0] : rows[-1] + 1], axis=0)
    if _extent(columns) < _LONG * tall or len(columns) < _FILLED * _extent(columns):
        return height
    margin = round(_MARGIN * tall)
    kept = min(len(grey), int(rows[-1]) + 1 + margin) - max(0, int(rows[0]) - margin)
    return round(height * len(grey) / kept)


def framed(line: npt.NDArray[np.uint8], height: int) -> tuple[npt.NDArray[np.uint8], int]:
    """The rows of a line in a picture that is at least as high, and the number of the first of them.

    Args:
        line: A picture scaled to `height_for` rows.
        height: How many rows.
    """
    if len(line) == height:
        return line, 0
    rows = _printed(line, axis=1)
    middle = (int(rows[0]) + int(rows[-1]) + 1) // 2 if rows.size else len(line) // 2
    top = min(max(0, middle - height // 2), len(line) - height)
    return line[top : top + height], top


def _printed(grey: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.intp]:
    """Numbers of the rows (axis 1) or columns (axis 0) that hold print."""
    return np.flatnonzero(grey.max(axis=axis) - grey.min(axis=axis) >= _PRINT)


def _extent(numbers: npt.NDArray[np.intp]) -> int:
    """How far they reach."""
    return int(numbers[-1]) + 1 - int(numbers[0]) if numbers.size else 0
