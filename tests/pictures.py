"""Pictures on disk for tests that do not care what they show."""

import numpy as np
from PIL import Image


def picture(path, width=80, shade=0):
    """Write a picture of bars, 20 pixels high."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((20, width), 255, np.uint8)
    pixels[5:15, 5:-5:6] = shade
    Image.fromarray(pixels).save(path)
    return path
