"""Text and face to a clean line picture: layout, crop and colours as real documents have them."""

from __future__ import annotations

import math
import re
from random import Random

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ocrformer.image import Pixels
from ocrformer.training.fonts import Face
from ocrformer.training.ink import (
    LEGIBLE,
    Mask,
    askew,
    bend,
    dots,
    embolden,
    likeness,
    patchy,
    rule,
    scaled,
    slant,
    specks,
    window,
)
from ocrformer.training.layouts import Layout
from ocrformer.training.typeset import Run, Style, draw_style, in_capitals

_SUBSTITUTES = {
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "‚": ",", "—": "-", "–": "-", "…": "...", "•": "-",
    "‹": "<", "›": ">", "«": "<", "»": ">", "『": "[", "』": "]", "「": "[", "」": "]",
}  # fmt: skip

_RISE = 0.5  # font sizes by which a line that is not level is taller, on average


def drawable(text: str, face: Face) -> str:
    """The text with what the face lacks replaced by its plain form, syllables by others that it has, or left out."""
    if face.capitals_only:
        text = in_capitals(text)
    if set(text) <= face.characters:
        return text
    return "".join(c if _has(face, c) else _substitute(c, face) for c in text).strip()


def _has(face: Face, character: str) -> bool:
    return character in face.characters or ("가" <= character <= "힣" and character in face.syllables)


def _substitute(character: str, face: Face) -> str:
    if "가" <= character <= "힣" and face.syllables:  # many fonts have 2,350 of the 11,172
        return face.syllables[ord(character) % len(face.syllables)]
    plain = _SUBSTITUTES.get(character, "")
    return plain if all(c in face.characters for c in plain) else ""


class Renderer:
    """Draws one line of random look.

    Args:
        rng: Source of every choice.
        face: Face to draw with.
        layout: Domain of the line.
        sibling: Another face of the family, for words that stand out.
    """

    def __init__(self, rng: Random, face: Face, layout: Layout, sibling: Face | None = None) -> None:
        self.rng = rng
        self.layout = layout
        low, high = layout.sizes
        self.size = round(math.exp(rng.uniform(math.log(low), math.log(high))) / 2) * 2
        self.style: Style = draw_style(rng, face, sibling, self.size, layout.bookish, layout.pitched)
        self.font = self.style.font
        self.stretch = rng.uniform(0.6, 1.35) if rng.random() < 0.3 else 1.0
        self.spacing = self._spacing()
        self.uneven = 0.0 if self.spacing[1] < 0 or rng.random() > 0.25 * layout.spaced else rng.uniform(0.2, 0.6)
        self.askew = rng.random() < layout.askew
        self.tight = self.askew or rng.random() < layout.tight
        loose = rng.random() < layout.loose
        self.above, self.below = (round(loose * rng.uniform(0, 0.9) * self.size) for _ in range(2))

    def _spacing(self) -> tuple[float, float]:
        """Extra space after letters and after words, in pixels."""
        if self.rng.random() >= self.layout.spaced:
            return 0.0, 0.0
        letters = self.rng.choice((0.0, 0.0, 0.0, self.rng.uniform(-0.04, 0.2), self.rng.uniform(0.2, 0.8)))
        tighter = -self.rng.uniform(0.1, 0.55) * self.font.getlength(" ") if letters >= 0 else 0.0
        wider = self.rng.choice((self.rng.uniform(0.1, 0.8), self.rng.uniform(0.2, 2.5))) * self.size
        return letters * self.size, self.rng.choice((tighter, wider, wider))

    def length(self, text: str) -> float:
        """Width of the text in pixels."""
        return sum(run.gap + self._advance(run) for run in self.style.runs(text)) * self.stretch

    def _advance(self, run: Run) -> float:
        letters, words = self.spacing
        return self.style.length(run) + letters * len(run.text) + words * run.text.count(" ")

    def expected_height(self, text: str) -> float:
        """About how tall the crop of this text will be, in pixels."""
        extra = self.above + self.below + self.askew * _RISE * self.size
        if not self.tight:
            return extra + sum(self.font.getmetrics()) + 0.17 * self.size
        _, top, _, bottom = self.font.getbbox("".join(dict.fromkeys(text)))  # each letter once is as tall
        return extra + bottom - top + 2 * 0.12 * self.size

    def fit(self, text: str, limit: float) -> str:
        """The longest beginning of the text that is at most about `limit` pixels wide, ending with a word if it can."""
        width = self.length(text)
        while width > limit and len(text) > 1:
            keep = max(1, min(len(text) - 1, int(len(text) * limit / width)))
            cut = text.rfind(" ", 0, keep + 1) if text[keep] != " " else keep
            text = text[: cut if cut > 0.6 * keep else keep].strip() or text[:keep].strip() or text[:1]
            width = self.length(text)
        return text

    def draw(self, text: str, margin: float = 0.0) -> Mask:
        """Ink of the text with crop, neighbours, rules and bends, and so many pixels of empty paper beside it."""
        mask = self._printed(self._ink(text))
        if self.rng.random() < 0.12:
            mask = embolden(self.rng, mask)
        if self.stretch != 1.0:
            mask = scaled(mask, round(mask.shape[1] * self.stretch), mask.shape[0])
        if self.rng.random() < 0.06:
            mask = slant(self.rng, mask)
        if self.askew:
            mask = askew(self.rng, mask)
        elif self.rng.random() < self.layout.bent:
            mask = bend(self.rng, mask)
        top, bottom, left, right = self._frame(mask)
        before = self.rng.uniform(0, margin)
        left, right = left - round(before), right + round(margin - before)
        if not self.askew and self.rng.random() < self.layout.neighbours:
            mask = np.maximum(mask, self._neighbours(mask.shape))
        mask = window(mask, top - self.above, bottom + self.below, left, right)
        if self.rng.random() < self.layout.ruled:
            mask = rule(self.rng, mask)
        return specks(self.rng, mask) if self.rng.random() < 0.7 * self.layout.worn else mask

    def _ink(self, text: str) -> Mask:
        """The text on a canvas of the font's line height with room around it."""
        ascent, descent = self.font.getmetrics()
        room = self.size // 2
        runs = [(run, self._pieces(run)) for run in self.style.runs(text)]
        widths = (run.gap + max(self.style.length(run), sum(map(self._advance, pieces))) for run, pieces in runs)
        width = math.ceil(sum(widths))  # pieces stand apart without kerning, and are wider together
        canvas = Image.new("L", (width + 2 * room, ascent + descent + 2 * room))
        pen = ImageDraw.Draw(canvas)
        x = float(room)
        for run, pieces in runs:
            x += run.gap
            for piece in pieces:
                self.style.draw(pen, piece, x, room + ascent)
                lost = self.uneven * self.rng.random() * self.font.getlength(" ") if " " in piece.text else 0.0
                x += self._advance(piece) - lost
        return np.array(canvas)

    def _printed(self, ink: Mask) -> Mask:
        """The ink as a worn or a dot-matrix printer leaves it, unless that would spoil it."""
        printed = ink
        if self.rng.random() < self.layout.worn:
            printed = patchy(self.rng, printed)
        if self.rng.random() < self.layout.dotted:
            printed = dots(self.rng, printed)
        return printed if printed is ink or likeness(ink, printed) > LEGIBLE else ink

    def _pieces(self, run: Run) -> list[Run]:
        """What can be drawn at once: the run, or its words or letters where their spaces are not the font's."""
        letters, words = self.spacing
        if letters:
            return [Run(letter, run.font) for letter in run.text]
        if words or self.uneven:
            return [Run(word, run.font) for word in re.findall(r"[^ ]* |[^ ]+", run.text)]
        return [run]

    def _neighbours(self, shape: tuple[int, int]) -> Mask:
        """Descenders of the line above or ascenders of the line below, where the crop may show them."""
        height, width = shape
        letters = "".join(self.rng.choices("abdefghijklpqtyEHTfgjpqyg     ", k=width // max(4, self.size // 2)))
        ascent, descent = self.font.getmetrics()
        gap = (ascent + descent) * self.rng.uniform(0.92, 1.15) * self.rng.choice((1, 1, -1))
        canvas = Image.new("L", (width, height))
        ImageDraw.Draw(canvas).text((0, self.size // 2 + gap), letters, fill=255, font=self.font)
        return np.asarray(canvas)

    def _frame(self, mask: Mask) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of the crop: around the ink or around the font's line height."""
        ascent, descent = self.font.getmetrics()
        rows, columns = np.flatnonzero(mask.max(axis=1) > 60), np.flatnonzero(mask.max(axis=0) > 60)
        if not columns.size:
            return 0, mask.shape[0], 0, mask.shape[1]
        if self.tight:
            slack = max(1.0, 0.12 * self.size)
            inward = (rows[-1] - rows[0]) // 4  # of a dash or full stops, which slack could cut away
            top = int(rows[0]) - max(-inward, round(self.rng.triangular(-0.5, 3.0, 0.5) * slack))
            bottom = int(rows[-1]) + 1 + max(-inward, round(self.rng.triangular(-0.5, 3.0, 0.5) * slack))
        else:
            top = self.size // 2 - round(self.rng.uniform(-0.08, 0.25) * self.size)
            bottom = self.size // 2 + ascent + descent + round(self.rng.uniform(-0.08, 0.25) * self.size)
        side = self.rng.choice((0.05, 0.15, 0.5)) * self.size
        left = int(columns[0]) - round(self.rng.uniform(-0.02 * self.size, side))
        right = int(columns[-1]) + 1 + round(self.rng.uniform(-0.02 * self.size, side))
        return top, bottom, left, right


def colour(rng: Random, mask: Mask, layout: Layout) -> Pixels:
    """Ink and paper greys: black on white, faint, toned, or light on dark."""
    if rng.random() < layout.plain:
        paper, ink = 255, 0
    else:
        paper = rng.randint(165, 255)
        ink = rng.randint(0, 90) if rng.random() < 0.75 else rng.randint(60, max(61, paper - 55))
    if rng.random() < layout.inverted:
        paper, ink = 255 - paper, 255 - ink
    table = np.rint(np.linspace(paper, ink, 256)).astype(np.uint8)
    return np.asarray(cv2.LUT(mask, table), np.uint8)
