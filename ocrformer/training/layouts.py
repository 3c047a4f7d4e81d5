"""How lines of each domain are set, cut out and coloured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
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
        loose: Chance of far more paper above and below than the line height.
        dotted: Chance of dot-matrix print.
        inverted: Chance of light text on dark.
        plain: Chance of black on white exactly.
        bookish: Chance of each habit of books: thin spaces before punctuation, small capitals, italics.
        worn: Chance of ink that is missing in patches.
        pitched: Chance of equal cells for all characters, in any face.
    """

    sizes: tuple[int, int]
    tight: float
    spaced: float = 0.0
    neighbours: float = 0.0
    ruled: float = 0.0
    bent: float = 0.0
    askew: float = 0.0
    loose: float = 0.0
    dotted: float = 0.0
    inverted: float = 0.0
    plain: float = 0.0
    bookish: float = 0.0
    worn: float = 0.0
    pitched: float = 0.0


CLEAN = Layout(sizes=(24, 56), tight=0.5, plain=1)
DOCUMENT = Layout(
    sizes=(16, 56),
    tight=0.55,
    spaced=0.3,
    neighbours=0.15,
    ruled=0.03,
    bent=0.25,
    askew=0.14,
    loose=0.08,
    dotted=0.01,
    inverted=0.02,
    plain=0.35,
    bookish=0.08,
    worn=0.1,
    pitched=0.02,
)
RECEIPT = Layout(
    sizes=(12, 44),
    tight=0.6,
    spaced=0.2,
    neighbours=0.08,
    ruled=0.05,
    bent=0.4,
    askew=0.15,
    loose=0.08,
    dotted=0.17,
    inverted=0.03,
    plain=0.2,
    bookish=0.01,
    worn=0.15,
    pitched=0.12,
)
SCREEN = Layout(
    sizes=(9, 30),
    tight=0.35,
    spaced=0.05,
    neighbours=0.03,
    ruled=0.06,
    askew=0.02,
    loose=0.08,
    dotted=0.02,
    inverted=0.3,
    plain=0.15,
    bookish=0.03,
    pitched=0.02,
)
