"""Loosely cut pictures: print is brought to its usual height, whatever empty paper lies above and below it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_PRINT = 48  # range of grey levels in a row or column that holds print
_LOOSE = 0.5  # share of the height that print has in pictures that are not loosely cut, at least
_LONG = 4  # times as long as high: shorter print may be a hyphen or a lone letter, whose height tells nothing
_MARGIN = 0.25  # heights of the print that are left above and below it


def height_for(grey: npt.NDArray[np.uint8], height: int) -> int:
    """Rows that a picture is scaled to so that its line has `height` of them: as many, or more if it is loosely cut.

    Where paper is dirty, or other lines show, nothing is known, and it is not.

    Args:
        grey: (H, W) grey levels.
        height: Line height of the model.
    """
    top, bottom = _print(grey, axis=1)
    tall = bottom - top
    left, right = _print(grey[top:bottom], axis=0) if 0 < tall < _LOOSE * len(grey) else (0, 0)
    if right - left < _LONG * tall or not right:
        return height
    margin = round(_MARGIN * tall)
    return round(height * len(grey) / (min(len(grey), bottom + margin) - max(0, top - margin)))


def framed(line: npt.NDArray[np.uint8], height: int) -> tuple[npt.NDArray[np.uint8], int]:
    """The rows of a line in a picture that is at least as high, and the number of the first of them.

    Args:
        line: A picture scaled to `height_for` rows.
        height: How many rows.
    """
    if len(line) == height:
        return line, 0
    first, last = _print(line, axis=1)
    top = min(max(0, (first + last - height) // 2), len(line) - height)
    return line[top : top + height], top


def _print(grey: npt.NDArray[np.uint8], axis: int) -> tuple[int, int]:
    """First and past-the-last of the rows (axis 1) or columns (axis 0) that hold print; both 0 if none does."""
    found = np.flatnonzero(grey.max(axis=axis) - grey.min(axis=axis) >= _PRINT)
    return (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)
