"""Crowded lines are read again, wider: their characters are closer together than the network's columns tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ocrformer.image import Pixels
from ocrformer.model.network import STRIDE

_LETTER, _SYLLABLE = 2.2, 4.6  # columns of the feature map for a character, under which some are missed
_ROOM = 1.25  # times as much is made where there is less,
_MOST = 1.6  # but a line is not widened by more than this, which makes letters of usual width strange


def widened(line: Pixels, texts: Sequence[str]) -> Pixels | None:
    """The line with more room for the characters that were read in it, or None where they have enough.

    Args:
        line: Prepared line (height, width).
        texts: The characters; a Hangul syllable, of several ids, is one.
    """
    height, width = line.shape
    wanted = sum(_SYLLABLE if "가" <= text <= "힣" else _LETTER for text in texts)
    if width / STRIDE >= wanted:
        return None
    wider = round(width * min(_MOST, _ROOM * wanted * STRIDE / width))
    return np.asarray(Image.fromarray(line).resize((wider, height), Image.Resampling.BILINEAR))
