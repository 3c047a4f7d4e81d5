"""Attention as pictures: a still sheet, an animation that walks along the line, an interactive page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ocrformer.attention_map import Array, Attention
from ocrformer.display import as_picture
from ocrformer.image import Pixels
from ocrformer.lettering import font_for
from ocrformer.pages import fill

_SCALE = 2  # pictures are drawn at this multiple of the line height
_LABEL = 44  # pixels left of each strip, for its character
_RED = (214, 40, 40)
_HEAT = np.array(_RED, np.float32)


def strips(attention: Attention, view: str, layer: int | None = None, head: int | None = None) -> list[Image.Image]:
    """One picture per character.

    Args:
        attention: Of one line.
        view: One of `VIEWS`.
        layer: Layer from 0, or None for the mean of all.
        head: Head from 0, or None for the mean of all.
    """
    if view == "characters":
        return [_shaded(attention.characters, weights) for weights in attention.earlier(layer, head)]
    maps = attention.maps if view == "picture" else attention.encoder_maps
    return [overlay(attention.line, one) for one in maps(layer, head)]


def sheet(
    attention: Attention, *, view: str = "picture", layer: int | None = None, head: int | None = None
) -> Image.Image:
    """One strip per character: the line, or the text, with the place that was looked at for the character."""
    shown = strips(attention, view, layer, head)
    plain = _rgb(attention.line)
    height = plain.height
    width = max([plain.width, *(strip.width for strip in shown)])
    canvas = Image.new("RGB", (_LABEL + width + 8, (height + 8) * (len(shown) + 1) + 8), "white")
    pen = ImageDraw.Draw(canvas)
    canvas.paste(plain, (_LABEL, 8))
    font = font_for("␣" + "".join(attention.characters), 26)
    for number, (text, strip) in enumerate(zip(attention.characters, shown, strict=True), 1):
        top = 8 + number * (height + 8)
        canvas.paste(strip, (_LABEL, top))
        pen.text((_LABEL / 2, top + height / 2), "␣" if text == " " else text, fill="black", font=font, anchor="mm")
    return canvas


def animation(
    attention: Attention,
    *,
    view: str = "picture",
    layer: int | None = None,
    head: int | None = None,
    milliseconds: int = 280,
) -> bytes:
    """An animated GIF that walks along the line, the text growing below it."""
    shown = strips(attention, view, layer, head)
    written = "".join(attention.characters)
    font = font_for(written, 24)
    width = max([round(font.getlength(written)) + 8, *(strip.width for strip in shown)])
    frames = []
    for number, (current, strip) in enumerate(zip(attention.characters, shown, strict=True)):
        frame = Image.new("RGB", (width, strip.height + 44), "white")
        frame.paste(strip, (0, 0))
        pen = ImageDraw.Draw(frame)
        before = "".join(attention.characters[:number])
        pen.text((4, strip.height + 8), before, fill="black", font=font)
        pen.text((4 + font.getlength(before), strip.height + 8), current, fill=_RED, font=font)
        frames.append(frame)
    frames = frames or [_rgb(attention.line)]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[milliseconds] * (len(frames) - 1) + [1500],
        loop=0,
    )
    return buffer.getvalue()


def _shaded(characters: Sequence[str], weights: Array) -> Image.Image:
    """The text with each character on a ground as red as the attention that it was paid.

    Args:
        characters: Of the line.
        weights: (characters + 1,), the first for the line's beginning, which is shown as a bar.
    """
    letters = ["|", *characters]
    font = font_for("".join(letters), 26)
    widths = [max(8, round(font.getlength(letter))) for letter in letters]
    strip = Image.new("RGB", (sum(widths) + 8, 32 * _SCALE), "white")
    pen = ImageDraw.Draw(strip)
    left = 4
    for letter, width, weight in zip(letters, widths, weights / max(float(weights.max()), 1e-9), strict=True):
        ground = tuple((255 + (_HEAT - 255) * 0.75 * float(weight)).astype(int).tolist())
        pen.rectangle((left, 8, left + width - 1, strip.height - 8), fill=ground)
        pen.text((left + width / 2, strip.height / 2), letter, fill="black", font=font, anchor="mm")
        left += width
    return strip


def page(attention: Attention) -> str:
    """A self-contained page: hover a character to see its region, hover the picture to see the character."""
    return fill("attention.html", as_data(attention) | {"encoder": _packed(attention.encoder)})


def as_data(attention: Attention) -> dict[str, Any]:
    """Plain values for a page's script: the picture, the characters, and the decoder's weights as bytes in base64."""
    buffer = io.BytesIO()
    _rgb(attention.line, scale=1).save(buffer, "PNG")
    return {
        "image": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
        "width": attention.line.shape[1],
        "height": attention.line.shape[0],
        "characters": attention.characters,
        "picture": _packed(attention.picture.reshape(*attention.picture.shape[:3], -1)),
        "grid": attention.picture.shape[3:],
        "own": _packed(attention.own),
    }


def _packed(weights: Array) -> dict[str, Any]:
    """Weights as bytes, each distribution scaled to its greatest weight, and these, by which means are taken."""
    peak = weights.max(axis=-1, keepdims=True, initial=1e-9)
    levels = np.rint(255 * weights / peak).astype(np.uint8)
    peaks = [round(float(value), 4) for value in peak.ravel()]
    return {"shape": weights.shape, "levels": base64.b64encode(levels.tobytes()).decode(), "peaks": peaks}


def overlay(line: Pixels, weights: npt.NDArray[np.floating[Any]]) -> Image.Image:
    """The line with a heat map over it.

    Args:
        line: Prepared line (height, width).
        weights: (rows, columns), any scale.
    """
    paper = np.asarray(_rgb(line), np.float32)
    levels = np.clip(255 * weights / max(float(weights.max(initial=0.0)), 1e-9), 0, 255).astype(np.uint8)
    size = (paper.shape[1], paper.shape[0])
    heat = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC), np.float32)[..., None] / 255
    return Image.fromarray((paper * (1 - 0.75 * heat) + _HEAT * 0.75 * heat).astype(np.uint8))


def _rgb(line: Pixels, scale: int = _SCALE) -> Image.Image:
    """A prepared line, dark on light, enlarged."""
    grey = as_picture(line)
    return grey.resize((grey.width * scale, grey.height * scale), Image.Resampling.BICUBIC).convert("RGB")
