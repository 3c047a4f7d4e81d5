"""Coloured and transparent pictures as grey ones in which print stays visible."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_TOLD = 48  # grey levels by which print and paper differ at least


def grey_levels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Grey levels (H, W) of a picture of any mode.

    What is transparent becomes white, or black where print would vanish on white (white lettering without a ground).
    Where print and paper are about equally light, that colour is taken in which they differ most.
    """
    if not {"A", "a"} & {*image.getbands()} and "transparency" not in image.info:
        return _visible(image)
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    white, black = (Image.new("RGBA", image.size, paper) for paper in ("white", "black"))
    grey = _visible(Image.alpha_composite(white, image))
    return grey if _range(grey) >= _TOLD else max(grey, _visible(Image.alpha_composite(black, image)), key=_range)


def _visible(image: Image.Image) -> npt.NDArray[np.uint8]:
    grey = np.asarray(image if image.mode == "L" else image.convert("L"))
    if image.mode == "L" or _range(grey) >= _TOLD:
        return grey
    colours = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    return max((colour for colour in colours if _range(colour) >= _TOLD), key=_range, default=grey)


def _range(grey: npt.NDArray[np.uint8]) -> int:
    return int(grey.max()) - int(grey.min())
