"""Captions are drawn in a font that has their characters."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrformer import lettering


def drawn(font, text):
    canvas = Image.new("L", (200, 40))
    ImageDraw.Draw(canvas).text((4, 4), text, fill=255, font=font)
    return canvas.tobytes()


def test_latin_needs_no_installed_font(monkeypatch):
    monkeypatch.setattr(lettering, "_NAMES", ())
    font = lettering.font_for("Total 12.50", 20)
    assert drawn(font, "Total") != drawn(font, "12.50")


def test_first_font_that_draws_everything_is_taken(monkeypatch):
    fonts = [path for path in Path("/usr/share/fonts").rglob("*.tt[fc]") if "Nanum" in path.name or "CJK" in path.name]
    if not fonts:
        pytest.skip("no Hangul font installed")
    monkeypatch.setattr(lettering, "_NAMES", ("no-such-font.ttf", str(fonts[0])))
    font = lettering.font_for("합계 1,000", 20)
    assert isinstance(font, ImageFont.FreeTypeFont) and font.path == str(fonts[0])
    assert drawn(font, "합") != drawn(font, "계")


def test_where_no_font_has_a_character_the_rest_is_drawn(monkeypatch):
    monkeypatch.setattr(lettering, "_NAMES", ())
    assert drawn(lettering.font_for("a\U0010fffe", 20), "a") != drawn(lettering.font_for("a", 20), "\U0010fffe")
