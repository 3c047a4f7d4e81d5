"""Real lines as a worse camera, scanner or cut would have given them, to measure what a reader bears.

The generator's wear (`degrade`, `ink`) is random, for training. Here each condition has one fixed strength and code of
its own, so that what is learnt from the one is measured by the other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ocrformer.charset import normalise
from ocrformer.datasets import DatasetError, Sample, load_samples
from ocrformer.image import ImageError, Pixels
from ocrformer.inspection import evenly
from ocrformer.training.ink import scaled

_PAPER = 90  # percentile of a line's grey levels that is taken for its paper


def _paper(grey: Pixels) -> int:
    return int(np.percentile(grey, _PAPER))


def _padded(grey: Pixels, margin: int) -> Pixels:
    return np.pad(grey, ((margin, margin), (0, 0)), constant_values=_paper(grey))


def _remapped(grey: Pixels, rows: Callable[[Pixels, Pixels], Pixels]) -> Pixels:
    """The picture with each of its pixels taken from another row of the same column."""
    height, width = grey.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    source = rows(y, x).astype(np.float32)
    return np.asarray(cv2.remap(grey, x, source, cv2.INTER_LINEAR, borderValue=_paper(grey)), np.uint8)


def turned(grey: Pixels, degrees: float) -> Pixels:
    """Rotated about its middle, in a picture that holds all of it."""
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = round(width * cosine + height * sine), round(height * cosine + width * sine)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return np.asarray(cv2.warpAffine(grey, matrix, size, flags=cv2.INTER_LINEAR, borderValue=_paper(grey)), np.uint8)


def tapered(grey: Pixels, least: float = 2 / 3) -> Pixels:
    """Seen from one side: a third smaller at the right end."""
    height, width = grey.shape
    margin = height * (1 - least) / 2
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)
    seen = np.array([[0, 0], [width, margin], [0, height], [width, height - margin]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, seen)
    return np.asarray(cv2.warpPerspective(grey, matrix, (width, height), borderValue=_paper(grey)), np.uint8)


def bowed(grey: Pixels, share: float = 0.2) -> Pixels:
    """The middle lower than the ends, as on an open book."""
    depth = share * len(grey)
    framed = _padded(grey, round(depth))
    return _remapped(framed, lambda y, x: y - depth * (0.5 - (2 * x / framed.shape[1] - 1) ** 2))


def shadowed(grey: Pixels) -> Pixels:
    """A shadow of half the light on the right half, with an edge of half a line height."""
    height, width = grey.shape
    beyond = (np.arange(width, dtype=np.float32) - width / 2) / (height / 8)
    return np.asarray(grey * (1 - 0.275 * (1 + np.tanh(beyond / 2))), np.uint8)


def glaring(grey: Pixels) -> Pixels:
    """A patch of light in the middle third, where print keeps a quarter of its contrast."""
    x = np.linspace(-3, 3, grey.shape[1], dtype=np.float32)
    return np.asarray(grey + (255.0 - grey) * 0.75 * np.exp(-x * x)[None], np.uint8)


def rough(grey: Pixels, draw: np.random.Generator) -> Pixels:
    """On a backdrop of coarse and fine blotches."""
    height, width = grey.shape
    field = np.zeros((height, width), np.float32)
    for cells, strength in ((2, 22), (5, 14), (14, 8)):  # across the height
        grain = draw.standard_normal((cells + 2, cells * width // height + 2), dtype=np.float32)
        field += strength * cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(0.85 * grey + field, 0, 255), np.uint8)


def faxed(grey: Pixels, draw: np.random.Generator, rows: int = 20) -> Pixels:
    """Scaled to 20 pixels height, with noise, in black and white."""
    small = at_height(grey, rows).astype(np.float32)
    small += draw.standard_normal(small.shape, dtype=np.float32) * 12
    threshold = (float(np.percentile(small, 2)) + _paper(grey)) / 2
    return np.asarray(np.where(small > threshold, 255, 0), np.uint8)


def at_height(grey: Pixels, rows: int) -> Pixels:
    """At fewer pixels a line."""
    return scaled(grey, round(grey.shape[1] * rows / len(grey)), rows) if rows < len(grey) else grey


def moved(grey: Pixels, share: float = 0.2) -> Pixels:
    """Smeared sideways."""
    return np.asarray(cv2.blur(grey, (max(2, round(share * len(grey))), 1)), np.uint8)


def blurred(grey: Pixels, share: float = 0.055) -> Pixels:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), share * len(grey)), np.uint8)


def dithered(grey: Pixels) -> Pixels:
    """Dots for grey, after a loss of contrast."""
    pale = Image.fromarray((60 + 0.65 * grey).astype(np.uint8))
    return np.asarray(pale.convert("1").convert("L"))


def coded(grey: Pixels, quality: int = 8) -> Pixels:
    """As a JPEG of the least quality that is met with."""
    data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def stretched(grey: Pixels, factor: float) -> Pixels:
    """Wider or narrower."""
    return scaled(grey, round(factor * grey.shape[1]), len(grey))


_LARGEST = 20_000  # pixels along a side: OpenCV numbers them in sixteen bits, and some lines get wider

CONDITIONS: Mapping[str, Callable[[Pixels, np.random.Generator], Pixels]] = {
    "plain": lambda grey, _: grey,
    "shadow": lambda grey, _: shadowed(grey),
    "loose": lambda grey, _: _padded(grey, len(grey) // 2),
    "turned-1": lambda grey, _: turned(grey, 1),
    "turned-2": lambda grey, _: turned(grey, -2),
    "tapered": lambda grey, _: tapered(grey),
    "bowed": lambda grey, _: bowed(grey),
    "rough": rough,
    "glare": lambda grey, _: glaring(grey),
    "narrow": lambda grey, _: stretched(grey, 0.6),
    "wide": lambda grey, _: stretched(grey, 1.5),
    "blurred": lambda grey, _: blurred(grey),
    "moved": lambda grey, _: moved(grey),
    "dithered": lambda grey, _: dithered(grey),
    "faxed": faxed,
    "coded": lambda grey, _: coded(grey),
    "small": lambda grey, _: at_height(grey, 12),
}
"""By name: what is done to a line, with a source of what is random in it."""


def distort(place: str, folder: Path, most: int, failures: list[str]) -> Iterator[tuple[str, int]]:
    """Write `folder/CONDITION/` with pictures and `labels.tsv`, for lines spread over those of a data set.

    Args:
        place: Labelled lines.
        folder: Created if need be.
        most: How many lines at most.
        failures: Gets a sentence for each picture that is left out.

    Yields:
        Name of each condition and number of its lines, as they are written.

    Raises (at the first step):
        DatasetError: If nothing labelled is found, no picture can be read, or there is anything in the folder.
    """
    chosen = _readable(evenly(load_samples(place), most), failures)
    if not chosen:
        raise DatasetError(f"{place}: none of its pictures can be read: {failures[0]}")
    if folder.exists() and any(folder.iterdir()):
        raise DatasetError(f"{folder} is not empty: name another folder")
    for name, worse in CONDITIONS.items():
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        rows = []
        for index, sample in enumerate(chosen):
            draw = np.random.default_rng(zlib.crc32(f"{name}:{index}".encode()))
            file = f"{index:05d}.png"
            Image.fromarray(worse(sample.open(), draw)).save(target / file)
            rows.append(f"{file}\t{normalise(sample.text)}\n")
        (target / "labels.tsv").write_text("".join(rows), "utf-8")
        yield name, len(rows)


def _readable(samples: Sequence[Sample], failures: list[str]) -> list[Sample]:
    """Those whose pictures can be opened and bent."""
    kept = []
    for sample in samples:
        try:
            height, width = sample.open().shape
            if max(height, width) > _LARGEST:
                raise ImageError(f"{sample.name}: {width} x {height} pixels are too many to distort", "too_large")
            kept.append(sample)
        except ImageError as error:
            failures.append(str(error))
    return kept
