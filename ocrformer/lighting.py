"""Uneven light on a line: where a shadow lies across it, its paper is brought to one level."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

_Level = TypeVar("_Level", np.uint8, np.float64)

_UNEVEN = 48  # grey levels between the light and the dark paper of one line that no print explains
_MOST = 4  # times as dark as the lightest paper: what is darker still is no shadow but a cover
_SMOOTH = 9  # columns over which light changes at the least


def evened(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The line as if light fell on it evenly; the same array if it nearly does, or if the print is light on dark.

    Print changes the darkest or the lightest levels of a column, seldom both; a shadow's edge changes both. Each
    column is then divided by the level of the paper there: the lightest of nearly all of it, and the same over the
    width of several strokes.

    Args:
        grey: (H, W) grey levels of about a line's height.
    """
    dark, middle, light = _levels(grey[:, ::8])
    if min(_spread(dark), _spread(light)) < _UNEVEN or np.mean(light - middle) > np.mean(middle - dark):
        return grey
    paper = _windows(_levels(grey)[-1], len(grey) | 1)
    level = _windows(np.median(paper, axis=-1), _SMOOTH).mean(axis=-1)
    gain = level.max() / np.maximum(level, 1)
    lit: npt.NDArray[np.uint8] = np.clip(np.rint(grey * np.where(gain > _MOST, 1, gain)), 0, 255).astype(np.uint8)
    return lit


def _levels(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey levels (3, W) that an eighth, half, and all but a sixth of each column do not exceed."""
    ranked: npt.NDArray[np.uint8] = np.sort(grey, axis=0)
    return ranked[[len(grey) // 8, len(grey) // 2, len(grey) * 27 // 32]]


def _spread(levels: npt.NDArray[np.uint8]) -> int:
    """Range of the levels without the outermost few."""
    ranked = np.sort(levels)
    few = len(ranked) // 25
    return int(ranked[-1 - few]) - int(ranked[few])


def _windows(levels: npt.NDArray[_Level], width: int) -> npt.NDArray[_Level]:
    """What surrounds each column, (W, width); beyond the ends what lies before them, not a letter that ends there."""
    return sliding_window_view(np.pad(levels, width // 2, mode="symmetric"), width)
