"""Other pictures of lines for a second reading.

Wider where characters are crowded, softer (and narrower) and sharper in doubt, wider still where dots lead through a
doubtful line, in the other polarity where ink may have been taken for paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from ocrformer.image import PAPER, Pixels
from ocrformer.model.network import STRIDE

_LETTER, _SYLLABLE = 2.2, 4.6  # columns of the feature map for a character, under which some are missed
_ROOM = 1.25  # times as much is made where there is less,
_MOST = 1.6  # but a line is not widened by more than this, which makes letters of usual width strange
_UNSURE = -0.1  # log-probability of a character; 4 % of receipt lines and 1 % of book lines lie below it
_BLUR, _NARROWER = 1.0, 0.85  # what takes grain, dots and smears off the letters: pixels and share of the width
_DOTS = 4  # times the same character: a leader to a page number or a price, whose dots smear over the words beside it
_FOR_DOTS = 1.3, 1.6  # so much wider they are counted
_DENSE = 0.35  # share of ink from which paper may have been taken for it: heavy type, tightly cut; few lines have 0.3
_INK = (PAPER + 255) // 2
_EDGES = ImageFilter.UnsharpMask(radius=2, percent=150, threshold=0)  # what brings letters out of blur and backdrops


def second_looks(line: Pixels, texts: Sequence[str], sureness: float) -> list[Pixels]:
    """The line as it may be read better; none where one look is enough.

    Args:
        line: Prepared line (height, width).
        texts: The characters that were read; a Hangul syllable, of several ids, is one.
        sureness: Mean log-probability of these characters.
    """
    picture, looks = Image.fromarray(line), []
    columns = line.shape[1] / STRIDE
    wanted = sum(_SYLLABLE if "가" <= text <= "힣" else _LETTER for text in texts)
    if columns < wanted:
        looks.append(_scaled(picture, min(_MOST, _ROOM * wanted / columns)))
    if texts and _is_dense(line):
        looks.append(_reversed(line))
    if texts and sureness < _UNSURE:
        looks.append(_scaled(picture.filter(ImageFilter.GaussianBlur(_BLUR)), _NARROWER))
        looks.append(np.asarray(picture.filter(_EDGES)))
        if _longest_run(texts) >= _DOTS:
            looks += [_scaled(picture, share) for share in _FOR_DOTS]
    return looks


def _longest_run(texts: Sequence[str]) -> int:
    """How often the same character follows itself."""
    return max((sum(1 for _ in run) for _, run in itertools.groupby(texts)), default=0)


def _is_dense(line: Pixels) -> bool:
    """Whether so much is ink that it may be paper."""
    return bool((line[_inside(line)] >= _INK).mean() > _DENSE)


def _reversed(line: Pixels) -> Pixels:
    """Ink as paper and paper as ink, but for the paper around both."""
    turned = np.full_like(line, PAPER)
    turned[_inside(line)] = np.minimum(PAPER + 255 - line[_inside(line)].astype(np.int16), 255)
    return turned


def _inside(line: Pixels) -> tuple[slice, slice]:
    """The rows and columns that are not all paper, as that which is added is."""
    rows, columns = (np.flatnonzero((line != PAPER).any(axis=axis)) for axis in (1, 0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if rows.size else np.s_[:, :]


def _scaled(line: Image.Image, share: float) -> Pixels:
    width = max(1, round(line.width * share))
    return np.asarray(line.resize((width, line.height), Image.Resampling.BILINEAR))
