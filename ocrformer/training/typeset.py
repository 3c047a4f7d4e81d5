"""How the words of one line are set: emphasis, small capitals, old-style figures, thin spaces, equal cells."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from PIL import ImageDraw, ImageFont

from ocrformer.training.fonts import Face, open_font

_SMALL_CAPITALS = 0.78  # height of small capitals to that of capitals
_OLD_ONE = 0.7  # height of an old-style 1, which many old types draw as a small I, to that of capitals
_LIGATED = re.compile(r"[^\w\s]{2}|0x|<3|\([a-z]\)|[ao]e|nr\.|tm|tel", re.IGNORECASE)
"""What ligatures of some fonts turn into other characters: -> != -- 0x1F <3 (c), ae oe, Nr. TM Tel."""
_LEANING = ".,:;!'"  # half-width faces put these at the left of their cells: 65. 20 without a space
_BEFORE_PUNCTUATION = re.compile(r"(?<=[^\s;:!?])(?=[;:!?])")


@dataclass(frozen=True)
class Run:
    """Text in one font, `gap` pixels after what stands before it."""

    text: str
    font: ImageFont.FreeTypeFont
    gap: float = 0.0


@dataclass(frozen=True)
class Style:
    """What one line's words look like.

    Attributes:
        font: Of most words.
        features: OpenType features, such as old-style figures; only for shaped fonts.
        emphasis: Font of the emphasised words: another face of the family, or the same one smaller for small capitals.
        capitals: Whether the emphasised words are in small capitals.
        span: First emphasised word and the one after the last.
        thin: Space before ; : ! and ? as old books have it, in pixels; no space in the text.
        old_one: Font in which a capital I stands for the figure 1.
        pitch: Width of the equal cells of a typewriter or receipt printer, in pixels; 0 for the font's own widths.
        lean: Where punctuation stands in its cell, from 0 (left) to 1 (right).
    """

    font: ImageFont.FreeTypeFont
    features: tuple[str, ...] = ()
    emphasis: ImageFont.FreeTypeFont | None = None
    capitals: bool = False
    span: tuple[int, int] = (0, 0)
    thin: float = 0.0
    old_one: ImageFont.FreeTypeFont | None = None
    pitch: float = 0.0
    lean: float = 0.5

    def spelled(self, text: str) -> str:
        """The text as a reader would write it: small capitals as capitals."""
        if not self.capitals:
            return text
        before, emphasised, after = self._divided(text)
        return f"{before}{in_capitals(emphasised)}{after}"

    def runs(self, text: str) -> list[Run]:
        """The line in pieces of one font each."""
        before, emphasised, after = self._divided(text)
        parts = [Run(before, self.font), *self._emphasised(emphasised), Run(after, self.font)]
        if self.thin:
            parts = [piece for run in parts for piece in self._loosened(run)]
        if self.old_one:
            parts = [piece for run in parts if run.text for piece in self._with_old_ones(run, self.old_one)]
        return [run for run in parts if run.text]

    def length(self, run: Run) -> float:
        """Width of a run's text in pixels, without its gap."""
        if self.pitch:
            return sum(self._cell(run.font, character) for character in run.text)
        return _length(run.font, run.text, self.features)

    def _cell(self, font: ImageFont.FreeTypeFont, character: str) -> float:
        return max(self.pitch, _length(font, character))

    def draw(self, pen: ImageDraw.ImageDraw, run: Run, x: float, baseline: float) -> None:
        """The run with its left end at x, standing on the baseline."""
        if not self.pitch:
            features = _features(run.font, run.text, self.features)
            pen.text((x, baseline), run.text, fill=255, font=run.font, anchor="ls", features=features)
            return
        for character in run.text:
            cell = self._cell(run.font, character)
            lean = self.lean if character in _LEANING else 0.5
            room = lean * (cell - _length(run.font, character))
            pen.text((x + room, baseline), character, fill=255, font=run.font, anchor="ls")
            x += cell

    def _divided(self, text: str) -> tuple[str, str, str]:
        if self.emphasis is None:
            return text, "", ""
        words = re.findall(r"\S+\s*", text)
        first, last = self.span
        return "".join(words[:first]), "".join(words[first:last]), "".join(words[last:])

    def _emphasised(self, text: str) -> list[Run]:
        if self.emphasis is None or not self.capitals:
            return [Run(text, self.emphasis or self.font)]
        return [
            Run(in_capitals(part), self.emphasis if part.islower() else self.font)
            for part in re.split(r"((?:[^\W\d_](?<![A-ZÀ-Þ]))+)", text)
        ]

    def _loosened(self, run: Run) -> list[Run]:
        first, *others = _BEFORE_PUNCTUATION.split(run.text)
        return [Run(first, run.font, run.gap), *(Run(part, run.font, self.thin) for part in others)]

    def _with_old_ones(self, run: Run, font: ImageFont.FreeTypeFont) -> list[Run]:
        first, *others = (
            Run("I", font) if part == "1" else Run(part, run.font) for part in re.split("(1)", run.text) if part
        )
        return [replace(first, gap=run.gap), *others]


@lru_cache(maxsize=1024)
def _length(font: ImageFont.FreeTypeFont, text: str, features: tuple[str, ...] = ()) -> float:
    """Width in pixels; what is drawn is measured several times, to be cut, placed and spaced."""
    return font.getlength(text, features=_features(font, text, features))


def _features(font: ImageFont.FreeTypeFont, text: str, wanted: tuple[str, ...]) -> list[str] | None:
    """OpenType features for a text, of which the picture shall show each character."""
    if font.layout_engine != ImageFont.Layout.RAQM:
        return None
    return [*wanted, "-calt", "-rlig", *(("-liga", "-clig") if _LIGATED.search(text) else ())]


def in_capitals(text: str) -> str:
    """Capitals of Latin-1 letters whose capital is one of Latin-1; other letters may have one that no charset knows."""
    return "".join(c.upper() if c < "\u0100" and c not in "ßÿµªº" else c for c in text)


def draw_style(rng: Random, face: Face, sibling: Face | None, size: int, bookish: float, pitched: float) -> Style:
    """A random style.

    Args:
        rng: Source of every choice.
        face: Of most words.
        sibling: Another face of the family that can stand beside it, for emphasised words.
        size: Font size in pixels.
        bookish: Chance of each of the habits of books.
        pitched: Chance of equal cells.
    """
    shaped = rng.random() < 0.5
    font = open_font(face.path, face.index, size, shaped)
    if rng.random() < pitched:
        return Style(font, pitch=font.getlength("0") * rng.uniform(0.95, 1.25), lean=rng.choice((0.0, 0.1, 0.5)))
    features = ("onum",) if shaped and rng.random() < 3 * bookish else ()
    thin = size * rng.uniform(0.05, 0.32) if rng.random() < bookish else 0.0
    old_one = None
    if rng.random() < 0.7 * bookish:
        old_one = open_font(face.path, face.index, max(6, round(_OLD_ONE * size)), shaped)
    plain = Style(font, features, thin=thin, old_one=old_one)
    first = rng.choice((0, 0, 0, rng.randint(1, 6)))
    span = (first, first + rng.choice((1, 1, 2, 3, 40)))
    roll = rng.random()
    if (
        roll < 0.5 * bookish
        and not face.capitals_only
        and set(in_capitals("".join(face.characters))) <= face.characters
    ):
        small = open_font(face.path, face.index, max(6, round(_SMALL_CAPITALS * size)), shaped)
        return replace(plain, emphasis=small, capitals=True, span=span)
    if roll < 2 * bookish and sibling is not None:
        return replace(plain, emphasis=open_font(sibling.path, sibling.index, size, shaped), span=span)
    return plain
