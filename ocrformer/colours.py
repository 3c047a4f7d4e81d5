"""Coloured and transparent pictures as grey ones in which print stays visible."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_TOLD = 48  # grey levels by which print and paper differ at least
_TIMES = 8.0
"""By how much more a colour tells than grey where that has such levels, in a speck beside equally light print."""
_MOST = 128.0  # no colour can tell more
_TIMES_BLACK = 3.0
"""The same of a black ground against a white one, on which the dark edges of white lettering still show."""


def grey_levels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Grey levels (H, W) of a picture of any mode.

    What is transparent becomes white, or black where print would vanish on white (white lettering without a ground).
    Where print and paper are about equally light, that colour is taken in which they differ most.
    """
    return np.asarray(_visible(image) if not _transparent(image) else _grounded(image))


def _transparent(image: Image.Image) -> bool:
    return bool({"A", "a"} & {*image.getbands()}) or "transparency" in image.info


def _grounded(image: Image.Image) -> Image.Image:
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    papers = (Image.new("RGBA", image.size, paper) for paper in ("white", "black"))
    white, black = (_visible(Image.alpha_composite(paper, image)) for paper in papers)
    if _range(white) < _TOLD:
        return max(white, black, key=_range)
    return black if _spread(black) > _TIMES_BLACK * _spread(white) else white


def _visible(image: Image.Image) -> Image.Image:
    if image.mode == "L":
        return image
    grey = image.convert("L")
    faint = _range(grey) < _TOLD
    if not faint and _spread(grey) * _TIMES > _MOST:
        return grey
    colours = image.convert("RGB").split()
    if faint:
        return max((colour for colour in colours if _range(colour) >= _TOLD), key=_range, default=grey)
    best = max(colours, key=_spread)
    return best if _spread(best) > _TIMES * _spread(grey) else grey


def _range(grey: Image.Image) -> int:
    low, high = grey.getextrema()
    assert isinstance(low, int)
    assert isinstance(high, int)
    return high - low


def _spread(grey: Image.Image) -> float:
    """Mean distance of the levels from their median: a few pixels count for little."""
    counts = np.array(grey.histogram())
    total = counts.cumsum()
    median = np.searchsorted(total, total[-1] / 2)
    return float(counts @ np.abs(np.arange(256) - median)) / float(total[-1])
