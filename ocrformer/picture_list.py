"""A caller's list of pictures, one by one."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageFile

from ocrformer.image import MAX_PIXELS, ImageSource


def pictures(source: Iterable[ImageSource]) -> Iterator[ImageSource]:
    """Pictures one by one, as they are now: Pillow gives out the pages of a file as one object that turns its leaves.

    Raises:
        TypeError: If it is one picture, or nothing, where a list is wanted; an array of many has one more dimension.
    """
    if isinstance(source, np.ndarray):
        one = source.ndim < 3 or (source.ndim == 3 and source.shape[2] in (1, 3, 4))
    else:
        one = isinstance(source, str | bytes | bytearray | memoryview | os.PathLike | Image.Image | io.IOBase)
    if one or not isinstance(source, Iterable):
        raise TypeError("read takes a list of pictures, not one: read([picture])")
    for picture in source:
        yield _still(picture) if isinstance(picture, ImageFile.ImageFile) else picture


def _still(picture: Image.Image) -> Image.Image:
    """A copy that no thread and no turning of leaves changes; what cannot be decoded is left for `load` to refuse."""
    if picture.width * picture.height > MAX_PIXELS:
        return picture
    try:
        return picture.copy()
    except Exception:  # noqa: BLE001 - as in `load_pages`
        return picture
