"""Prepared lines as pictures for people."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ocrformer.image import PAPER, Pixels

_WEBP = 16_383  # columns that it can hold


def as_picture(line: Pixels) -> Image.Image:
    """A prepared line, dark on light."""
    ink = np.clip((line.astype(np.int16) - PAPER) * 2, 0, 255)
    return Image.fromarray((255 - ink).astype(np.uint8))


def picture_url(line: Pixels) -> str:
    """The same as a data URL."""
    buffer = io.BytesIO()
    form = "webp" if line.shape[1] <= _WEBP else "png"
    as_picture(line).save(buffer, form, quality=60)
    return f"data:image/{form};base64," + base64.b64encode(buffer.getvalue()).decode()
