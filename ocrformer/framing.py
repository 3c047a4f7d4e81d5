"""Pictures that hold more than their line: it is brought to its usual height, loosely cut or not level as it may be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ocrformer.levelling import course_of, followed

_PRINT = 48  # range of grey levels in a row or column that holds print
_LOOSE = 0.5  # share of the height that print has in pictures that are not loosely cut, at least
_FLAT = 0.15  # and at most that much in what is left as it is: rules, and what would grow beyond measure
_LONG = 4  # times as long as high: shorter print may be a hyphen or a lone letter, whose height tells nothing
_DENSE = 0.8  # share of the rows between its first and its last that hold print, at least: rules have gaps between them
_FILLED = 0.3  # likewise of columns: specks have wider ones
_ENOUGH = 256  # rows by which heights are judged where there are more
_SHORT = 0.8  # share of a picture's width that a short line takes at most
_MARGIN = 0.25  # heights of the print that are left above and below it


def height_for(grey: npt.NDArray[np.uint8], height: int) -> int:
    """Rows that a picture is scaled to so that its line has `height` of them.

    That is as many, or more if the line is loosely cut or not level. Where paper is dirty, other lines show, or what
    there is looks like no line of print, the picture is taken as it is.

    Args:
        grey: (H, W) grey levels.
        height: Line height of the model.
    """
    step = max(1, len(grey) // _ENOUGH)
    grey = grey[::step, ::step]
    level, _ = _level(grey)
    kept = len(level)
    if _is_print(level):
        rows = _printed(level, axis=1)
        tall = _extent(rows)
        if tall < _LOOSE * len(level):
            margin = round(_MARGIN * tall)
            kept = min(len(level), int(rows[-1]) + 1 + margin) - max(0, int(rows[0]) - margin)
    return height if kept == len(grey) else round(height * len(grey) / kept)


def framed(line: npt.NDArray[np.uint8], height: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """The rows of a line in a picture that is at least as high, and where the first of them is in each column, (W,).

    Args:
        line: A picture scaled to `height_for` rows.
        height: How many rows.
    """
    if len(line) == height:
        return line, np.zeros(line.shape[1])
    level, tops = _level(line)
    rows = _printed(level, axis=1)
    middle = (int(rows[0]) + int(rows[-1]) + 1) // 2 if rows.size else len(level) // 2
    top = max(0, min(middle - height // 2, len(level) - height))
    return followed(line, tops + top, height), tops + top


def _level(grey: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """The rows that run from end to end beside the line, and where the first of them is in each column, (W,).

    A short line in a wide picture ends where its print does.
    """
    course = course_of(grey)
    if course:
        tops = len(grey) * course.depths(grey.shape[1])
        columns = _printed(grey, axis=0)
        beside = tops[columns[0] : columns[-1] + 1] if 0 < _extent(columns) < _SHORT * len(tops) else tops
        tops = tops - beside.min()
        level = followed(grey, tops, len(grey) - round(np.ptp(beside)))
        if _is_print(level):
            return level, tops
    return grey, np.zeros(grey.shape[1])


def _is_print(grey: npt.NDArray[np.uint8]) -> bool:
    """Whether what a picture holds looks like one line of print on clean paper."""
    rows = _printed(grey, axis=1)
    tall = _extent(rows)
    if tall <= _FLAT * len(grey) or len(rows) < _DENSE * tall:
        return False
    columns = _printed(grey[rows[0] : rows[-1] + 1], axis=0)
    return _extent(columns) >= _LONG * tall and len(columns) >= _FILLED * _extent(columns)


def _printed(grey: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.intp]:
    """Numbers of the rows (axis 1) or columns (axis 0) that hold print."""
    return np.flatnonzero(grey.max(axis=axis) - grey.min(axis=axis) >= _PRINT)


def _extent(numbers: npt.NDArray[np.intp]) -> int:
    """How far they reach."""
    return int(numbers[-1]) + 1 - int(numbers[0]) if numbers.size else 0
