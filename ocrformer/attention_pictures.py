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
from ocrformer.image import PAPER, Pixels
from ocrformer.lettering import font_for
from ocrformer.pages import fill

_SCALE = 2  # pictures are drawn at this multiple of the line height
_LABEL = 44  # pixels left of each strip, for its character
_HEAT = np.array([214, 40, 40], np.float32)


def sheet(attention: Attention, *, layer: int | None = None, head: int | None = None) -> Image.Image:
    """One strip per character: the line with the place the decoder looked at when it wrote the character."""
    strips = [overlay(attention.line, one) for one in attention.maps(layer, head)]
    plain = _rgb(attention.line)
    width, height = plain.size
    canvas = Image.new("RGB", (_LABEL + width + 8, (height + 8) * (len(strips) + 1) + 8), "white")
    pen = ImageDraw.Draw(canvas)
    canvas.paste(plain, (_LABEL, 8))
    font = font_for("␣" + "".join(attention.characters), 26)
    for number, (text, strip) in enumerate(zip(attention.characters, strips, strict=True), 1):
        top = 8 + number * (height + 8)
        canvas.paste(strip, (_LABEL, top))
        pen.text((_LABEL / 2, top + height / 2), "␣" if text == " " else text, fill="black", font=font, anchor="mm")
    return canvas


def animation(
    attention: Attention, *, layer: int | None = None, head: int | None = None, milliseconds: int = 280
) -> bytes:
    """An animated GIF that walks along the line, the text growing below it."""
    width, height = _rgb(attention.line).size
    written = "".join(attention.characters)
    font = font_for(written, 24)
    frames = []
    for number, one in enumerate(attention.maps(layer, head), 1):
        frame = Image.new("RGB", (max(width, round(font.getlength(written)) + 8), height + 44), "white")
        frame.paste(overlay(attention.line, one), (0, 0))
        pen = ImageDraw.Draw(frame)
        before = written_until(attention.characters, number - 1)
        pen.text((4, height + 8), before, fill="black", font=font)
        current = attention.characters[number - 1]
        pen.text((4 + font.getlength(before), height + 8), current, fill=tuple(map(int, _HEAT)), font=font)
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
    """Weights as bytes, each distribution scaled to its greatest weight."""
    peak = weights.max(axis=-1, keepdims=True, initial=1e-9)
    levels = np.rint(255 * weights / peak).astype(np.uint8)
    return {"shape": weights.shape, "levels": base64.b64encode(levels.tobytes()).decode()}


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
    ink = np.clip((line.astype(np.int16) - PAPER) * 2, 0, 255)
    grey = Image.fromarray((255 - ink).astype(np.uint8))
    return grey.resize((grey.width * scale, grey.height * scale), Image.Resampling.BICUBIC).convert("RGB")


def written_until(characters: Sequence[str], count: int) -> str:
    """The text of the first characters."""
    return "".join(characters[:count])
