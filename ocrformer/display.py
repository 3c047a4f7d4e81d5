"""Prepared lines as pictures for people."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from ocrformer.image import PAPER, Pixels


def as_picture(line: Pixels) -> Image.Image:
    """A prepared line, dark on light."""
    ink = np.clip((line.astype(np.int16) - PAPER) * 2, 0, 255)
    return Image.fromarray((255 - ink).astype(np.uint8))


def picture_url(line: Pixels) -> str:
    """The same as a data URL."""
    buffer = io.BytesIO()
    as_picture(line).save(buffer, "WEBP", quality=60)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
