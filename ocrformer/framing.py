"""Pictures that hold more than their line: it is brought to its usual height, loosely cut or not level as it may be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocrformer.levelling import course_of, followed

ADDED = 4
"""Rows of paper that are added to a line that touches the upper and the lower edge, half of them above it: of lines so
tightly cut five in a hundred were misread, now one."""
_FULL = 0.9  # share of a picture's range of grey levels that print has at an edge that it touches
_PRINT = 48  # range of grey levels in a row or column that holds print
_LOOSE = 0.5  # share of the height that print has in pictures that are not loosely cut, at least
_FLAT = 0.04  # and at most that much in what is left as it is: it would grow beyond measure
_LOW = 7  # likewise rows of the picture: rules, leaders, hyphens
_LONG = 4  # times as long as high: shorter print may be a lone letter, whose height tells nothing
_TINY, _WORD = 0.35, 1.3  # but below that share of the height it cannot be read as it is: then so long is enough
_DENSE = 0.8  # share of the rows between its first and its last that hold print, at least: rules have gaps between them
_FILLED = 0.3  # likewise of columns: specks have wider ones
_GAPS = 0.98  # and at most that many, in what is tightly cut
_STROKE = 0.15  # share of the rows that a letter has at an end that it touches, at least: rules have less
_ENOUGH = 256  # rows by which heights are judged where there are more
_SHORT = 0.8  # share of a picture's width that a short line takes at most
_BESIDE = 3  # columns of paper that are added beside print that touches an end
_MARGIN = 0.25  # heights of the print that are left above and below it


def height_for(grey: npt.NDArray[np.uint8], height: int) -> int:
    """Rows that a picture is scaled to so that its line has `height` of them.

    That is as many, more if the line is loosely cut or not level, or some fewer, for `framed` to add, if it touches
    both the upper and the lower edge. Where paper is dirty, other lines show, or what there is looks like no line of
    print, the picture is taken as it is.

    Args:
        grey: (H, W) grey levels.
        height: Line height of the model.
    """
    step = max(1, len(grey) // _ENOUGH)
    grey = grey[::step, ::step]
    level, _ = _level(grey)
    kept = len(level)
    if _is_print(level, step):
        rows = _printed(level, axis=1)
        tall = _extent(rows)
        if tall < _LOOSE * len(level):
            margin = round(_MARGIN * tall)
            kept = min(len(level), int(rows[-1]) + 1 + margin) - max(0, int(rows[0]) - margin)
    if kept == len(grey):
        return height - ADDED if _is_tight(grey) else height
    return round(height * len(grey) / kept)


def _is_tight(grey: npt.NDArray[np.uint8]) -> bool:
    """Whether print fills a picture from its upper to its lower edge; there are gaps in it, as rules have none."""
    if not all(_touched(edge, grey) for edge in (grey[0], grey[-1])):
        return False
    rows, columns = (_printed(grey, axis=axis) for axis in (1, 0))
    return len(rows) >= _DENSE * len(grey) and _FILLED <= len(columns) / grey.shape[1] < _GAPS


def _touched(edge: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> bool:
    """Whether the row or column at an edge of a picture holds print, not just grain."""
    return int(edge.max()) - int(edge.min()) >= max(_PRINT, _FULL * (int(grey.max()) - int(grey.min())))


class Frame(NamedTuple):
    """The rows of a line in its picture, and paper added where print touches an edge.

    Attributes:
        rows: (height, W).
        tops: Where in the picture the first row is in each column, (W,); negative above it.
        left: Columns added before the picture's first.
    """

    rows: npt.NDArray[np.uint8]
    tops: npt.NDArray[np.float64]
    left: int


def framed(line: npt.NDArray[np.uint8], height: int, paper: int) -> Frame:
    """The line in a picture.

    Args:
        line: A picture scaled to `height_for` rows, its paper even.
        height: How many rows.
        paper: Grey level of the paper; print is lighter.
    """
    if len(line) > height:
        rows, tops = _followed(line, height)
    else:
        above = (height - len(line)) // 2
        rows = _laid(line, (height, line.shape[1]), paper, above, 0)
        tops = np.full(line.shape[1], -float(above))
    room = left, _ = [_BESIDE * ((rows[:, end] >= paper + _PRINT).mean() > _STROKE) for end in (0, -1)]
    if not any(room):
        return Frame(rows, tops, 0)
    return Frame(_laid(rows, (height, len(tops) + sum(room)), paper, 0, left), np.pad(tops, room, "edge"), left)


def _laid(
    line: npt.NDArray[np.uint8], shape: tuple[int, int], paper: int, top: int, left: int
) -> npt.NDArray[np.uint8]:
    """The line on a sheet of paper, so far from its corner; `np.pad` takes many times as long."""
    if line.shape == shape:
        return line
    sheet = np.full(shape, paper, np.uint8)
    sheet[top : top + line.shape[0], left : left + line.shape[1]] = line
    return sheet


def _followed(line: npt.NDArray[np.uint8], height: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """So many rows of the line, and where the first of them is in each column."""
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


def _is_print(grey: npt.NDArray[np.uint8], step: int = 1) -> bool:
    """Whether a picture, of which every so many rows are given, looks like one line of print on clean paper."""
    rows = _printed(grey, axis=1)
    tall = _extent(rows)
    if tall <= _FLAT * len(grey) or step * tall < _LOW or len(rows) < _DENSE * tall:
        return False
    columns = _printed(grey[rows[0] : rows[-1] + 1], axis=0)
    long = _WORD if tall < _TINY * len(grey) else _LONG
    return _extent(columns) >= long * tall and len(columns) >= _FILLED * _extent(columns)


def _printed(grey: npt.NDArray[np.uint8], axis: int) -> npt.NDArray[np.intp]:
    """Numbers of the rows (axis 1) or columns (axis 0) that hold print."""
    return np.flatnonzero(grey.max(axis=axis) - grey.min(axis=axis) >= _PRINT)


def _extent(numbers: npt.NDArray[np.intp]) -> int:
    """How far they reach."""
    return int(numbers[-1]) + 1 - int(numbers[0]) if numbers.size else 0
