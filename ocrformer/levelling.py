"""Lines that are not level in their picture: how they fall, rise or bow, and where each column of the line then is."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BLOCKS = 16  # parts of a line whose rows of ink are compared
_COLUMNS = 12  # of each part at most, evenly spread
_ROWS = 64  # rows that each part is brought to
_INK = 48  # grey levels from the commonest that are taken for ink
_LONG = 5  # heights that a picture is wide at the least: in shorter ones few characters tell a slope from their shapes
_OFF = 0.12  # heights that a line falls, rises or bows at the least: the network reads what is nearly level
_SHARPER = 1.05  # times that the rows of ink must be sharper when levelled


class Course(NamedTuple):
    """How a line runs through its picture.

    Attributes:
        fall: Heights of the picture by which it is lower at its right end than at its left.
        bow: Heights of the picture by which it is lower in its middle than at its ends.
    """

    fall: float
    bow: float

    def depths(self, width: int) -> npt.NDArray[np.float64]:
        """Heights by which each of so many columns is lower than the highest, (width,)."""
        x = (np.arange(width) + 0.5) / width - 0.5
        depths: npt.NDArray[np.float64] = self.fall * x - 4 * self.bow * x * x
        depths -= depths.min()
        return depths


_LEVEL = Course(0.0, 0.0)
_COARSE = tuple(Course(step / 10, 0.0) for step in range(-8, 9)) + tuple(
    Course(0.0, step / 10) for step in (-3, -2, -1, 1, 2, 3)
)
_FINER = (0.05, 0.02)  # steps in which the best is then looked for


def course_of(grey: npt.NDArray[np.uint8]) -> Course | None:
    """How a line that is not level runs, or None if it is level or cannot be told.

    It is the course along which the rows of ink are told best from those between (greatest sum of squares of the
    projection profile: Postl 1986).

    Args:
        grey: (H, W) grey levels, of either polarity.
    """
    height, width = grey.shape
    if width < max(_LONG * height, _BLOCKS):
        return None
    rows = _rows_of_ink(grey)
    best, sharpest = _sharpest(rows, _COARSE)
    if best == _LEVEL:
        return None
    level = _sharpness(rows, (_LEVEL,))[0]
    for step in _FINER:
        best, sharpest = _sharpest(rows, _around(best, step))
    far = max(abs(best.fall), abs(best.bow)) >= _OFF
    return best if far and sharpest > _SHARPER * level else None


def _rows_of_ink(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Ink in each row of each part of the line, (_BLOCKS, 3 * _ROWS), with room above and below."""
    height, width = grey.shape
    count = _BLOCKS * min(_COLUMNS, width // _BLOCKS)
    rows, columns = np.arange(_ROWS) * height // _ROWS, np.arange(count) * width // count
    seen = grey[np.ix_(rows, columns)].astype(np.int16)
    away = np.abs(seen - np.int16(np.median(seen[::4])))
    ink = (away * (away > _INK)).reshape(_ROWS, _BLOCKS, -1).sum(axis=2, dtype=np.float32)
    roomy = np.zeros((_BLOCKS, 3 * _ROWS), np.float32)
    roomy[:, _ROWS : 2 * _ROWS] = ink.T
    return roomy


def _sharpest(rows: npt.NDArray[np.float32], courses: tuple[Course, ...]) -> tuple[Course, float]:
    sharpness = _sharpness(rows, courses)
    best = int(sharpness.argmax())
    return courses[best], float(sharpness[best])


def _sharpness(rows: npt.NDArray[np.float32], courses: tuple[Course, ...]) -> npt.NDArray[np.float32]:
    """How unevenly ink is spread over rows that run so."""
    profile = rows.ravel()[_places(courses)].sum(axis=1)
    squares: npt.NDArray[np.float32] = (profile * profile).sum(axis=1)
    return squares


@lru_cache(maxsize=64)
def _places(courses: tuple[Course, ...]) -> npt.NDArray[np.intp]:
    """Where the rows of lines that run so are in `_rows_of_ink`, (courses, parts, rows)."""
    depths = np.array([course.depths(_BLOCKS) for course in courses])
    depths -= depths.max(axis=1, keepdims=True) / 2
    shifts = np.rint(depths * _ROWS).astype(np.intp)[:, :, None]
    places: npt.NDArray[np.intp] = np.arange(_BLOCKS)[:, None] * 3 * _ROWS + _ROWS + np.arange(_ROWS) + shifts
    return places


@lru_cache(maxsize=256)
def _around(course: Course, step: float) -> tuple[Course, ...]:
    """Courses near another."""
    steps = itertools.product((-step, 0, step), (-2 * step, -step, 0, step, 2 * step))
    return tuple(Course(round(course.fall + fall, 2), round(course.bow + bow, 2)) for fall, bow in steps)


def followed(grey: npt.NDArray[np.uint8], tops: npt.NDArray[np.float64], height: int) -> npt.NDArray[np.uint8]:
    """So many rows of each column from its own first row on (linear interpolation), (height, W)."""
    if not np.ptp(tops):
        return grey[int(tops[0]) : int(tops[0]) + height]
    places = np.clip(tops + np.arange(height)[:, None], 0, len(grey) - 1)
    upper = places.astype(np.intp)
    columns = np.arange(grey.shape[1])
    above, below = (grey[rows, columns].astype(np.float32) for rows in (upper, np.minimum(upper + 1, len(grey) - 1)))
    mixed: npt.NDArray[np.uint8] = np.rint(above + (below - above) * (places - upper)).astype(np.uint8)
    return mixed
