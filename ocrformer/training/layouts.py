"""How lines of each domain are set, cut out and coloured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """How lines of one domain are set and cut out; chances are per line.

    Attributes:
        sizes: Font sizes in pixels, drawn log-uniformly.
        tight: Chance that the crop follows the ink instead of the font's line height.
        spaced: Chance of stretched word or letter spaces.
        neighbours: Chance that parts of the lines above or below are in the crop.
        ruled: Chance of an underline, strike or box line.
        bent: Chance of a tilted or bent baseline.
        askew: Chance of a line that is not level, or smaller towards one end.
        dotted: Chance of dot-matrix print.
        inverted: Chance of light text on dark.
        plain: Chance of black on white exactly.
        bookish: Chance of each habit of books: thin spaces before punctuation, small capitals, italics.
        worn: Chance of ink that is missing in patches.
        pitched: Chance of equal cells for all characters, in any face.
    """

    sizes: tuple[int, int]
    tight: float
    spaced: float
    neighbours: float
    ruled: float
    bent: float
    askew: float
    dotted: float
    inverted: float
    plain: float
    bookish: float
    worn: float
    pitched: float


CLEAN = Layout((24, 56), 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
DOCUMENT = Layout((16, 56), 0.55, 0.30, 0.15, 0.03, 0.25, 0.05, 0.01, 0.02, 0.35, 0.08, 0.10, 0.02)
RECEIPT = Layout((12, 44), 0.60, 0.20, 0.08, 0.05, 0.40, 0.08, 0.17, 0.03, 0.20, 0.01, 0.15, 0.12)
SCREEN = Layout((9, 30), 0.35, 0.05, 0.03, 0.06, 0.0, 0.01, 0.02, 0.30, 0.15, 0.03, 0.0, 0.02)
