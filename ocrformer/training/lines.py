"""Synthetic lines ready for the network: text and font drawn, rendered, worn and prepared like any picture."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from ocrformer.image import Pixels, prepare
from ocrformer.training import degrade, ink, layouts, render, text
from ocrformer.training.font_book import FontBook
from ocrformer.training.fonts import Face

_DOMAINS = (
    (0.52, text.DOCUMENT, layouts.DOCUMENT, degrade.DOCUMENT),
    (0.26, text.RECEIPT, layouts.RECEIPT, degrade.RECEIPT),
    (0.12, text.SCREEN, layouts.SCREEN, degrade.SCREEN),
    (0.10, text.DOCUMENT, layouts.DOCUMENT, degrade.PHOTO),
)
_CLEAN = 0.12  # share of lines left as printed, but for that
_EMPTY = 0.045  # share of pictures without text
_ROOMY = 0.05  # share of lines in a far wider picture, so that the decoder learns to end where the text does
_EDGED = 0.03  # share of lines beside a block of another grey
_SHADED = 0.06  # share of lines across which a shadow or a patch of light falls
_LEGIBLE = 0.75  # likeness to the clean line under which a picture is spoilt, not worn


class Key(NamedTuple):
    """Names one synthetic line: the same key gives the same line in any process."""

    seed: int
    step: int
    slot: int
    width: int


@dataclass(frozen=True)
class Voice:
    """Texts and the fonts that can draw them.

    Attributes:
        share: How often it speaks, relative to the other voices.
        source: Draws texts.
        faces: Fonts to draw with.
    """

    share: float
    source: text.TextSource
    faces: Sequence[Face]


class LineFactory:
    """Makes synthetic lines of a wanted width.

    Args:
        voices: One per language, say.
        height: Line height of the model.
        clean: Black on white as rendered, never worn, bent or empty.
        mixture: Kinds of text in place of the domains' own.
    """

    def __init__(
        self, voices: Sequence[Voice], height: int, *, clean: bool = False, mixture: text.Mixture | None = None
    ) -> None:
        self.clean, self.mixture = clean, mixture
        self.voices = [(voice.source, FontBook(voice.faces)) for voice in voices]
        self.shares = [voice.share for voice in voices]
        self.charset = voices[0].source.charset
        self.height = height

    def page(self, rng: Random, width: int) -> tuple[str, Pixels]:
        """Text and raw picture of a line that is about `width` pixels wide once prepared, and seldom wider."""
        _, mixture, layout, wear = rng.choices(_DOMAINS, [share for share, *_ in _DOMAINS])[0]
        mixture = self.mixture or mixture
        if self.clean:
            written, mask = self._draw(rng, mixture, layouts.CLEAN, width)
            return written, render.colour(rng, mask, layouts.CLEAN)
        if rng.random() < _EMPTY:
            written, mask = "", ink.empty_page(rng, width / self.height)
        else:
            written, mask = self._draw(rng, mixture, layout, width)
        page = render.colour(rng, mask, layout)
        columns = slice(0, page.shape[1])
        if rng.random() < _EDGED:
            page, left = ink.edged(rng, page)
            columns = slice(left, left + columns.stop)
        if rng.random() >= _CLEAN:
            page = self._worn(rng, page, wear, columns, whatever=not written)
        return written, ink.shaded(rng, page) if rng.random() < _SHADED else page

    def _worn(self, rng: Random, page: Pixels, wear: degrade.Wear, text: slice, *, whatever: bool) -> Pixels:
        """The page after some wear; as it was if wear would spoil its text, unless `whatever` comes of it will do."""
        for _ in range(2):
            worn = degrade.degrade(page, wear, rng)
            if whatever or ink.likeness(page[:, text], worn[:, text]) > _LEGIBLE:
                return worn
        return page

    def _draw(self, rng: Random, mixture: text.Mixture, layout: layouts.Layout, width: int) -> tuple[str, ink.Mask]:
        source, book = rng.choices(self.voices, self.shares)[0]
        face = book.draw(rng)
        renderer = render.Renderer(rng, face, layout, book.sibling(rng, face))
        roomy = rng.random() < _ROOMY
        fill = rng.uniform(0.25, 0.8) if roomy else rng.uniform(0.86, 1.08)
        guess = fill * width / self.height * renderer.expected_height("Ag")
        written = ""
        while not written:
            budget = round(1.25 * guess / max(1.0, renderer.length("n e") / 3))
            written = render.drawable(source.draw(rng, mixture, budget), face)
        room = width / self.height * renderer.expected_height(written)
        written = renderer.fit(written, fill * room)
        return renderer.style.spelled(written), renderer.draw(written, max(0.0, 0.95 - fill) * room if roomy else 0.0)

    def __call__(self, key: Key) -> tuple[Pixels, list[int]]:
        """Prepared line, at most key.width wide, and the ids of its text."""
        rng = Random(":".join(map(str, key)))
        while True:
            written, page = self.page(rng, key.width)
            line = prepare(page, self.height)
            ids = self.charset.encode(written)
            repeats = sum(a == b for a, b in itertools.pairwise(ids))
            if line.shape[1] > 1.25 * key.width or min(line.shape[1], key.width) < 4 * (len(ids) + repeats):
                continue  # too wide to squeeze, or too narrow for CTC to spell
            if line.shape[1] > key.width:
                line = ink.scaled(line, key.width, self.height)
            return line, ids
