"""Degradation of clean lines with albumentations: scan, fax, thermal print, photo, screenshot.

The one module that imports albumentations, which is pinned: its later versions changed licence and names. Its
update check is switched off before the import, and every sample brings its own random state, because transforms
that share a seed draw correlated values and workers would repeat each other.
"""

from __future__ import annotations

import os
import warnings
from random import Random
from typing import Any, TypeAlias

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np
from PIL import Image

from ocrformer.image import Pixels

cv2.setNumThreads(0)


Wear: TypeAlias = A.Compose
"""What a kind of document goes through."""


class Fax(A.ImageOnlyTransform):
    """Blur, uneven exposure and one threshold: strokes break and merge as in bilevel scans."""

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """(H, W) grey to (H, W) black and white."""
        draw = self.random_generator
        height, width = img.shape
        blurred = cv2.GaussianBlur(img, (0, 0), float(draw.uniform(0.3, 0.025 * height + 0.4)))
        low, high = float(blurred.min()), float(blurred.max())
        if high - low < 40:
            return img
        grain = draw.standard_normal((max(2, height // 2), max(2, width // 2)), dtype=np.float32)
        drift = draw.standard_normal((2, max(2, width // 200)), dtype=np.float32)
        field = cv2.resize(grain, (width, height)) * draw.uniform(1.0, 18.0)
        field += cv2.resize(drift, (width, height), interpolation=cv2.INTER_CUBIC) * draw.uniform(0.0, 18.0)
        threshold = low + (high - low) * draw.uniform(0.3, 0.7)
        page: Pixels = np.where(blurred + field > threshold, 255, 0).astype(np.uint8)
        return page


class Fading(A.ImageOnlyTransform):
    """Worn thermal print: bands of weak ink and missing specks."""

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """(H, W) grey to (H, W) grey with paler ink."""
        draw = self.random_generator
        height, width = img.shape
        paper = float(np.median(img))
        cells = (int(draw.integers(2, 8)), int(max(2, width // draw.integers(12, 80))))
        strength = draw.uniform(0.35, 1.0, cells).astype(np.float32)
        field = cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)
        if draw.random() < 0.5:
            field *= draw.random((height, width), dtype=np.float32) > draw.uniform(0.0, 0.35)
        page: Pixels = np.clip(paper + (img - paper) * field, 0, 255).astype(np.uint8)
        return page


class Shading(A.ImageOnlyTransform):
    """Mildly uneven light over the whole line: brighter at one end or in one corner."""

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """(H, W) grey to (H, W) grey."""
        draw = self.random_generator
        height, width = img.shape
        corners = draw.uniform(-1.0, 1.0, (2, int(draw.integers(2, 5)))).astype(np.float32)
        field = 1 + draw.uniform(0.05, 0.35) * cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
        page: Pixels = np.clip(img * field, 0, 255).astype(np.uint8)
        return page


class LowResolution(A.ImageOnlyTransform):
    """Scanned or sent with few dots per inch: small, with the noise and the JPEG blocks of that size."""

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """(H, W) grey to (H, W) grey that is no sharper than a line of 10 to 21 pixels."""
        draw = self.random_generator
        height, width = img.shape
        low = int(draw.integers(10, 22))
        if low >= height:
            return img
        small = cv2.resize(img, (max(8, round(width * low / height)), low), interpolation=cv2.INTER_AREA)
        if draw.random() < 0.5:
            grain = draw.standard_normal(small.shape, dtype=np.float32) * draw.uniform(2, 20)
            small = np.clip(small + grain, 0, 255).astype(np.uint8)
        if draw.random() < 0.4:
            coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(35, 95))])[1]
            small = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
        page: Pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
        return page


class Dither(A.ImageOnlyTransform):
    """Black and white dots for grey, by error diffusion (Floyd and Steinberg 1976)."""

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """(H, W) grey to (H, W) black and white."""
        return np.asarray(Image.fromarray(img).convert("1").convert("L"))


class Backdrop(A.ImageOnlyTransform):
    """Paper, label or wall behind the text: blotches, grain, and print that shows through from the other side."""

    def apply(self, img: Pixels, **params: Any) -> Pixels:
        """(H, W) grey to (H, W) grey."""
        draw = self.random_generator
        height, width = img.shape
        field = np.zeros((height, width), np.float32)
        strength = draw.triangular(3, 8, 40)
        for _ in range(draw.integers(1, 4)):
            cell = height * 2 ** draw.uniform(-4.3, 0.6)
            blots = draw.standard_normal((round(height / cell) + 2, round(width / cell) + 2), dtype=np.float32)
            field += cv2.resize(blots, (width, height), interpolation=cv2.INTER_CUBIC) * strength
            strength *= draw.uniform(0.4, 1)
        if draw.random() < 0.3:
            back = cv2.GaussianBlur(cv2.flip(img, 1), (0, 0), float(draw.uniform(0.5, 2.0))).astype(np.float32)
            field += (back - np.median(img)) * draw.uniform(0.05, 0.3)
        page: Pixels = np.clip(img * draw.uniform(0.75, 1) + field, 0, 255).astype(np.uint8)
        return page


def _compose(*transforms: A.BasicTransform | A.BaseCompose) -> A.Compose:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # renamed options would otherwise be ignored
        wear = A.Compose(list(transforms))
    wear.set_random_state(np.random.default_rng(), Random())  # the same objects for every part: `degrade` seeds them
    return wear


def _coarsen(p: float, low: float) -> A.Downscale:
    pair = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}
    return A.Downscale(scale_range=(low, 0.9), interpolation_pair=pair, p=p)


def _blur(sigma: float, motion: int) -> A.OneOf:
    gaussian, moved = A.GaussianBlur(blur_limit=0, sigma_limit=(0.4, sigma), p=0.7), A.MotionBlur((3, motion), p=0.3)
    return A.OneOf([gaussian, moved], p=1)


def _noise(deviation: float) -> A.OneOf:
    return A.OneOf([A.GaussNoise((0.02, deviation), p=0.8), A.ShotNoise((0.02, deviation), p=0.2)], p=1)


DOCUMENT = _compose(
    A.ElasticTransform(alpha=12, sigma=5, border_mode=cv2.BORDER_REPLICATE, p=0.06),
    A.OneOf([Fax(p=0.6), A.Sequential([A.GaussianBlur(0, (0.3, 1.5), p=0.6), _noise(0.1)], p=0.4)], p=0.7),
    Backdrop(p=0.16),
    A.OneOf([_coarsen(0.5, 0.4), LowResolution(p=0.5)], p=0.35),
    Dither(p=0.02),
    A.OneOf([A.SaltAndPepper(amount=(0.001, 0.02)), A.CoarseDropout((1, 6), (1, 3), (1, 12), fill=255)], p=0.08),
    A.RandomBrightnessContrast(0.15, (-0.4, 0.2), p=0.15),
    A.ImageCompression(quality_range=(25, 90), p=0.2),
)
RECEIPT = _compose(
    Fading(p=0.3),
    A.Sequential([_blur(1.8, 7)], p=0.3),
    A.OneOf([_coarsen(0.6, 0.35), LowResolution(p=0.4)], p=0.5),
    A.Sequential([_noise(0.12)], p=0.3),
    A.OneOf([A.RandomBrightnessContrast(0.2, (-0.5, 0.3)), A.RandomToneCurve(scale=0.3)], p=0.25),
    Fax(p=0.15),
    A.CoarseDropout((1, 4), (1, 4), (2, 20), fill=255, p=0.08),
    A.ImageCompression(quality_range=(20, 90), p=0.35),
)
SCREEN = _compose(
    A.GaussianBlur(blur_limit=0, sigma_limit=(0.2, 0.7), p=0.15),
    A.Downscale(scale_range=(0.5, 0.8), p=0.1),
    A.GaussNoise(std_range=(0.01, 0.05), p=0.05),
    A.ImageCompression(quality_range=(30, 95), p=0.3),
)
PHOTO = _compose(
    A.ElasticTransform(alpha=12, sigma=5, border_mode=cv2.BORDER_REPLICATE, p=0.15),
    A.Sequential([_blur(2.0, 9)], p=0.5),
    A.OneOf([A.RandomToneCurve(scale=0.4), Shading(), Backdrop()], p=0.75),
    A.OneOf([_coarsen(0.6, 0.35), LowResolution(p=0.4)], p=0.5),
    A.GaussNoise(std_range=(0.02, 0.12), p=0.5),
    A.ImageCompression(quality_range=(20, 80), p=0.5),
)
TOUCH = _compose(
    A.OneOf([_blur(1.0, 3), _noise(0.05), _coarsen(1.0, 0.6)], p=0.5),
    A.RandomBrightnessContrast(0.15, (-0.3, 0.3), p=0.3),
    A.ImageCompression(quality_range=(40, 95), p=0.2),
)


def degrade(page: Pixels, wear: Wear, rng: Random) -> Pixels:
    """A worse picture of the same line.

    Args:
        page: Clean line (H, W).
        wear: One of the kinds above.
        rng: Source of every choice, so that equal states give equal pictures in any process.
    """
    wear.random_generator.bit_generator.state = np.random.PCG64(rng.getrandbits(64)).state
    wear.py_random.seed(rng.getrandbits(64))
    worn: Pixels = wear(image=page)["image"]
    return worn
