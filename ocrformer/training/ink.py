"""Ink, paper and light of a line, beside the wear of `degrade`: weight, slant, bends, rules, dot print, shadows."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import cv2
import numpy as np
import numpy.typing as npt

from ocrformer.image import Pixels

Mask = npt.NDArray[np.uint8]
"""Ink coverage (H, W), 0 none, 255 full."""
LEGIBLE = 0.66
"""Likeness to the clean line under which ink is spoilt, not worn."""
_KEPT = 0.3  # share of its ink that a line keeps at least where strokes get thinner


def scaled(picture: Pixels, width: int, height: int) -> Pixels:
    """The picture at another size, averaged over areas where it shrinks."""
    return np.asarray(cv2.resize(picture, (max(1, width), height), interpolation=cv2.INTER_AREA), np.uint8)


def embolden(rng: Random, mask: Mask) -> Mask:
    """Strokes a pixel thicker or thinner, unless that would erase them."""
    kernel = np.ones(rng.choice(((1, 2), (2, 1), (2, 2))), np.uint8)
    thicker = np.asarray(cv2.dilate(mask, kernel) if rng.random() < 0.65 else cv2.erode(mask, kernel), np.uint8)
    kept = thicker.sum() > _KEPT * mask.sum() and likeness(mask, thicker) > LEGIBLE
    return thicker if kept else mask


def patchy(rng: Random, mask: Mask) -> Mask:
    """Worn type or print head: ink is weak or missing in small patches, so that strokes break."""
    height, width = mask.shape
    draw = np.random.default_rng(rng.getrandbits(32))
    across, down = rng.choice(((1, 1), (1, 1), (1, 6), (3, 1)))  # round, upright or level patches
    cell = rng.uniform(0.06, 0.16) * height
    cells = (max(2, round(height / (cell * down))), max(2, round(width / (cell * across))))
    field = cv2.resize(draw.random(cells, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    lost = rng.uniform(0.08, 0.3)
    keep = np.clip((field - lost) * rng.uniform(4, 12), rng.choice((0.0, 0.3)), 1)
    return np.asarray(mask * keep, np.uint8)


def specks(rng: Random, mask: Mask) -> Mask:
    """A few drops of ink or dirt, smaller than a full stop or beside the text."""
    mask = mask.copy()
    height, width = mask.shape
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        radius = max(1, round(height * rng.uniform(0.005, 0.035)))
        margin = rng.randint(0, height // 3)
        centre = (rng.choice((rng.randrange(width), margin, width - margin)), rng.randrange(height))
        cv2.circle(mask, centre, radius, rng.randint(90, 255), -1)
    return mask


def slant(rng: Random, mask: Mask) -> Mask:
    """Sheared to the left or right, as oblique faces are."""
    height, width = mask.shape
    shear = rng.uniform(-0.2, 0.2)
    matrix = np.array([[1, -shear, shear * height / 2], [0, 1, 0]], np.float32)
    return np.asarray(cv2.warpAffine(mask, matrix, (width, height)), np.uint8)


def bend(rng: Random, mask: Mask) -> Mask:
    """Tilt the line, wave it, or lift one end as at a page's fold; the limits grow with the height, not the width."""
    height, width = mask.shape
    x = np.linspace(0.0, 1.0, width, dtype=np.float32)
    depth = rng.uniform(-0.1, 0.1) * height
    kind = rng.random()
    if kind < 0.4:
        shift = depth * (2 * x - 1)
    elif kind < 0.7:
        shift = depth * np.sin(2 * np.pi * (x * rng.uniform(0.2, 1.2) + rng.random()))
    else:
        reach = min(1.0, rng.uniform(2, 8) * height / width)
        shift = 1.4 * depth * np.clip(1 - (x if rng.random() < 0.5 else 1 - x) / reach, 0, 1) ** 2
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    rows = np.arange(height, dtype=np.float32)[:, None] + shift[None].astype(np.float32)
    return np.asarray(cv2.remap(mask, columns, rows, cv2.INTER_LINEAR), np.uint8)


def askew(rng: Random, mask: Mask) -> Mask:
    """Not level in its picture, as on a photographed page or sign: tilted, bowed, and smaller towards one end."""
    height, width = mask.shape
    room = height // 3
    x = np.linspace(-1.0, 1.0, width, dtype=np.float32)
    rise = math.tan(math.radians(rng.uniform(-2.5, 2.5))) * width / 2
    shift = max(-0.25 * height, min(0.25 * height, rise)) * x + rng.uniform(-0.1, 0.1) * height * x * x
    rows = np.arange(height + 2 * room, dtype=np.float32)[:, None] - (height / 2 + room)
    rows = (height / 2 + room) + rows * (1 + rng.uniform(-0.25, 0.25) * x) + shift
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), rows.shape)
    padded = np.pad(mask, ((room, room), (0, 0)))
    return np.asarray(cv2.remap(padded, columns, rows.astype(np.float32), cv2.INTER_LINEAR), np.uint8)


def rule(rng: Random, mask: Mask) -> Mask:
    """An underline, overline or strike, or a side of a box, across the line."""
    height, width = mask.shape
    mask = mask.copy()
    thick = max(1, round(height * rng.uniform(0.01, 0.05)))
    if rng.random() < 0.75:
        y = round(height * rng.choice((rng.uniform(0.75, 0.85), rng.uniform(0.75, 0.85), rng.uniform(0.05, 0.2), 0.5)))
        mask[y : y + thick, rng.randint(0, width // 3) : width - rng.randint(0, width // 3)] = rng.randint(120, 255)
    else:
        x = rng.choice((rng.randint(0, height // 4), width - 1 - rng.randint(0, height // 4)))
        mask[:, max(0, x) : max(0, x) + thick] = rng.randint(120, 255)
    return mask


def dots(rng: Random, mask: Mask) -> Mask:
    """Dot-matrix print: one dot a cell of a coarse grid."""
    height, width = mask.shape
    rows = rng.randint(13, 22)
    columns = max(1, round(width * rows / height * rng.uniform(0.9, 1.3)))
    cells = scaled(mask, columns, rows)
    cell = rng.choice((3, 4))
    radius = rng.uniform(0.42, 0.75) * cell
    grid = np.arange(cell, dtype=np.float32) - (cell - 1) / 2
    dot = np.clip(radius + 0.5 - np.hypot(grid[:, None], grid[None]), 0, 1)
    struck = (cells > rng.randint(70, 130)) * np.float32(255)
    printed = np.kron(struck, dot)
    return scaled(printed.astype(np.uint8), width, height)


def window(mask: Mask, top: int, bottom: int, left: int, right: int) -> Mask:
    """mask[top:bottom, left:right], with no ink outside the mask."""
    bottom, right = max(bottom, top + 4), max(right, left + 2)
    inside = mask[max(0, top) : bottom, max(0, left) : right]
    if inside.shape == (bottom - top, right - left):
        return inside
    opened = np.zeros((bottom - top, right - left), np.uint8)
    first, start = max(0, -top), max(0, -left)
    opened[first : first + inside.shape[0], start : start + inside.shape[1]] = inside
    return opened


def edged(rng: Random, page: Pixels) -> tuple[Pixels, int]:
    """A block of another grey at one end, as covers, shaded cells and the edges of scans leave it: it is no l.

    Returns:
        The picture and the column where the page begins in it.
    """
    width = round(page.shape[0] * rng.uniform(0.1, 1.5))
    ends = rng.choice(((width, 0), (0, width), (0, width), (width, width)))
    return np.pad(page, ((0, 0), ends), constant_values=rng.choice((0, 255, rng.randrange(256)))), ends[0]


def shaded(rng: Random, page: Pixels) -> Pixels:
    """A shadow's edge, sharp or soft, or a patch of light, as in photographs; print keeps a quarter of its contrast."""
    height, width = page.shape
    angle, centre = rng.uniform(0, 2 * math.pi), rng.random() * width / height
    x = np.arange(width, dtype=np.float32)[None] / height - centre
    y = np.arange(height, dtype=np.float32)[:, None] / height - rng.random()
    if rng.random() < 0.7:
        softness = math.exp(rng.uniform(math.log(0.03), math.log(6)))  # in line heights
        distance = np.clip((x * math.cos(angle) + y * math.sin(angle)) / softness, -20, 20)
        lit = page * (1 - rng.uniform(0.2, 0.75) / (1 + np.exp(distance)))
    else:
        wide, tall = rng.uniform(0.3, 4), rng.uniform(0.3, 2)
        lit = page + (255.0 - page) * rng.uniform(0.2, 0.75) * np.exp(-((x / wide) ** 2) - (y / tall) ** 2)
    return np.asarray(lit, np.uint8)


def likeness(one: Pixels, other: Pixels) -> float:
    """Correlation of two pictures of one line at half the usual line height, from -1 to 1."""
    height, width = one.shape
    size = (round(16 * width / height), 16)
    first, second = (scaled(picture, *size).astype(np.float32) for picture in (one, other))
    first -= first.mean()
    second -= second.mean()
    scale = float(np.sqrt((first * first).sum() * (second * second).sum()))
    return float((first * second).sum()) / scale if scale > 1.0 else float(first.std() < 1.0 and second.std() < 1.0)


def _boxes(rng: Random, mask: Mask) -> None:
    """A row of empty boxes, as forms have them to be filled in; none where there is room for one, which may be a D."""
    height, width = mask.shape
    tall = round(height * rng.uniform(0.4, 0.85))
    wide = max(4, round(tall * rng.choice((1.0, 1.0, rng.uniform(0.3, 3.0)))))
    top, thick = (height - tall) // 2, rng.choice((1, 1, 2, 3))
    step = wide + round(wide * rng.choice((0.0, rng.uniform(0.1, 1.5))))
    lefts = range(rng.randint(1, 6), max(2, width - wide - 1), max(4, step))
    for left in lefts if len(lefts) > 1 else ():
        cv2.rectangle(mask, (left, top), (left + wide, top + tall), 255, thick)


def _frame(rng: Random, mask: Mask) -> None:
    """A frame around nothing, too wide for a letter."""
    height, width = mask.shape
    if width > 1.5 * height:
        corner = rng.randint(0, 8), rng.randint(0, 8)
        cv2.rectangle(mask, corner, (width - 4, height - 4), 255, rng.randint(1, 3))


def _bars(rng: Random, mask: Mask) -> None:
    """A bar code."""
    unit, left = rng.choice((1, 1, 2, 3)), rng.randint(2, 8)
    while left < mask.shape[1] - 4:
        right = left + unit * rng.randint(1, 4)
        mask[:, left:right] = 255
        left = right + unit * rng.randint(1, 4)


def empty_page(rng: Random, aspect: float) -> Mask:
    """Ink of a picture without text, at most `aspect` times as wide as high: rules, frames, boxes, bars, noise."""
    height = rng.randint(16, 64)
    width = max(16, round(rng.uniform(0.2, 1.0) * aspect * height))
    mask = np.zeros((height, width), np.uint8)
    noise = np.random.default_rng(rng.getrandbits(32))
    drawings: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: cv2.line(mask, (0, rng.randrange(height)), (width, rng.randrange(height)), 255, rng.randint(1, 3)),
        lambda: _frame(rng, mask),
        lambda: np.copyto(mask, (noise.random(mask.shape) < rng.uniform(0.001, 0.4)).astype(np.uint8) * 255),
        lambda: np.copyto(mask, noise.integers(0, 256, mask.shape, dtype=np.uint8)),
        lambda: np.copyto(
            mask, np.repeat(noise.integers(0, 2, (1, width // 3 + 1), dtype=np.uint8) * 255, 3, 1)[:, :width]
        ),
        lambda: np.copyto(
            mask, cv2.resize(noise.integers(0, 256, (4, width // 8 + 2), dtype=np.uint8), (width, height))
        ),
        lambda: np.copyto(mask, np.uint8(255)),
        lambda: _boxes(rng, mask),
        lambda: _boxes(rng, mask),
        lambda: _bars(rng, mask),
    )
    rng.choice(drawings)()
    return mask
