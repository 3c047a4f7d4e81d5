"""Other pictures of lines for a second reading: wider where characters are crowded, softer where it was unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from ocrformer.image import Pixels
from ocrformer.model.network import STRIDE

_LETTER, _SYLLABLE = 2.2, 4.6  # columns of the feature map for a character, under which some are missed
_ROOM = 1.25  # times as much is made where there is less,
_MOST = 1.6  # but a line is not widened by more than this, which makes letters of usual width strange
_UNSURE = -0.1  # mean log-probability; below it lie 6 % of receipt lines, 1 % of book lines and most smeared ones
_BLUR, _NARROWER = 1.0, 0.85  # what takes grain, dots and smears off the letters: pixels and share of the width


def second_look(line: Pixels, texts: Sequence[str], sureness: float) -> Pixels | None:
    """The line as it may be read better, or None where one look is enough.

    Args:
        line: Prepared line (height, width).
        texts: The characters that were read; a Hangul syllable, of several ids, is one.
        sureness: Mean log-probability of its ids, and of the end if there is one.
    """
    columns = line.shape[1] / STRIDE
    wanted = sum(_SYLLABLE if "가" <= text <= "힣" else _LETTER for text in texts)
    if columns < wanted:
        return _scaled(Image.fromarray(line), min(_MOST, _ROOM * wanted / columns))
    if texts and sureness < _UNSURE:
        return _scaled(Image.fromarray(line).filter(ImageFilter.GaussianBlur(_BLUR)), _NARROWER)
    return None


def _scaled(line: Image.Image, share: float) -> Pixels:
    width = max(1, round(line.width * share))
    return np.asarray(line.resize((width, line.height), Image.Resampling.BILINEAR))
