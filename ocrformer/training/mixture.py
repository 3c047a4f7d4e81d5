"""Batches for fine-tuning: labelled lines or own synthetic ones, mixed with replayed synthetic lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, Sampler

from ocrformer.charset import Charset
from ocrformer.datasets import Sample
from ocrformer.framing import height_for
from ocrformer.image import ImageError, Pixels, prepare
from ocrformer.training import degrade
from ocrformer.training.batches import Buckets, LabelledBatch, to_batch
from ocrformer.training.lines import Key, LineFactory

_POOL = 16  # batches that are drawn and sorted by width together
_UNTOUCHED = 0.4  # share of labelled lines that are shown as they are
_STEP = 16  # batch widths are multiples of this


class Real(NamedTuple):
    """Names one appearance of a labelled line: its index, and what it is worn and stretched by."""

    sample: int
    seed: int
    step: int
    slot: int
    width: int


class Own(NamedTuple):
    """Names one synthetic line in the user's own fonts or texts."""

    key: Key


class MixedLines(Dataset[Any]):
    """Lines by key: replayed synthetic (`Key`), own synthetic (`Own`), labelled (`Real`).

    Args:
        replay: Makes lines as the model was trained on.
        own: Makes lines in the user's fonts or texts, or None.
        samples: Labelled lines.
        charset: Knows every character of the labels.
    """

    def __init__(
        self, replay: LineFactory, own: LineFactory | None, samples: Sequence[Sample], charset: Charset
    ) -> None:
        self.replay, self.own, self.samples, self.charset = replay, own, samples, charset

    def __getitem__(self, key: Key | Own | Real) -> tuple[Pixels, list[int], bool]:
        if isinstance(key, Key):
            return *self.replay(key), True
        if isinstance(key, Own):
            assert self.own is not None
            return *self.own(key.key), False
        sample = self.samples[key.sample]
        rng = Random(f"{key.seed}:{key.step}:{key.slot}")
        try:
            line = prepare(touch(rng, sample.open()), self.replay.height, sample.name)
        except ImageError:  # an unreadable picture was reported before training; here it must not stop anything
            return *self.replay(Key(key.seed, key.step, key.slot, key.width)), True
        if line.shape[1] > key.width:
            line = np.asarray(Image.fromarray(line).resize((key.width, line.shape[0]), Image.Resampling.BILINEAR))
        return line, self.charset.encode(sample.text), False


def to_mixed_batch(lines: Sequence[tuple[Pixels, list[int], bool]]) -> LabelledBatch:
    """As `to_batch`, and which of the lines are replayed."""
    batch = to_batch([(line, ids) for line, ids, _ in lines])
    return batch._replace(old=torch.tensor([old for _, _, old in lines]))


def touch(rng: Random, picture: Pixels) -> Pixels:
    """A labelled picture, most often a little stretched, cropped or worn, so that few lines teach more."""
    if rng.random() < _UNTOUCHED:
        return picture
    height, width = picture.shape
    top, bottom = rng.randint(0, height // 12), height - rng.randint(0, height // 12)
    cropped = Image.fromarray(picture[top:bottom])
    stretched = cropped.resize((max(4, round(width * rng.uniform(0.9, 1.1))), bottom - top), Image.Resampling.BILINEAR)
    return degrade.degrade(np.asarray(stretched), degrade.TOUCH, rng)


class MixedSampler(Sampler[list[Any]]):
    """Endless batches, a pure function of (seed, step): new lines first, the rest of the pixels replay.

    Labelled lines are drawn by the pool, sorted by width and cut into batches; only the pool's pictures are looked at,
    so that a data set of any size costs the same. Where there are own synthetic lines too, the two take turns.

    Args:
        samples: Labelled lines, if any.
        own: Whether there are synthetic lines in the user's fonts or texts.
        height: Line height of the model.
        buckets: Widths for synthetic lines, and pixels of a batch.
        replay: Share of each batch that is replayed.
        seed: Everything drawn depends on it.
        start: First step.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        own: bool,
        height: int,
        buckets: Buckets,
        replay: float,
        seed: int,
        start: int = 0,
    ) -> None:
        self.samples, self.own, self.height, self.buckets = samples, own, height, buckets
        self.replay, self.seed, self.start = replay, seed, start
        self._pool = lru_cache(maxsize=2)(self._draw_pool)
        self._width = cache(self._widen)

    def __iter__(self) -> Iterator[list[Any]]:
        step = self.start
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> list[Any]:
        """Keys of one step."""
        turns = 2 if self.samples and self.own else 1
        if not self.samples or step % turns:
            return self._synthetic(step)
        pool, place = divmod(step // turns, _POOL)
        width, indices = self._pool(pool)[place]
        new = [Real(index, self.seed, step, slot, width) for slot, index in enumerate(indices)]
        replayed = round(self.replay * self.buckets.pixels / width)
        return new + [Key(self.seed, step, len(new) + i, width) for i in range(replayed)]

    def _synthetic(self, step: int) -> list[Any]:
        width = Random(f"{self.seed}:{step}").choices(self.buckets.widths, self.buckets.shares)[0]
        count = max(2, self.buckets.pixels // width)
        old = round(self.replay * count)
        keys = [Key(self.seed, step, slot, width) for slot in range(count)]
        return [*keys[:old], *(Own(key) for key in keys[old:])]

    def _draw_pool(self, pool: int) -> list[tuple[int, list[int]]]:
        """Width and sample indices of each batch of a pool, in random order."""
        rng = Random(f"{self.seed}:pool:{pool}")
        budget = (1 - self.replay) * self.buckets.pixels * _POOL
        drawn: list[tuple[int, int]] = []
        while sum(width for width, _ in drawn) < budget:
            index = rng.randrange(len(self.samples))
            drawn.append((self._width(index), index))
        drawn.sort()
        batches: list[tuple[int, list[int]]] = []
        weights = np.cumsum([width for width, _ in drawn])
        edges = [0, *(int(np.searchsorted(weights, weights[-1] * i / _POOL)) for i in range(1, _POOL)), len(drawn)]
        for low, high in pairwise(edges):
            part = drawn[low : max(high, low + 1)] or drawn[-1:]
            batches.append((part[-1][0], [index for _, index in part]))
        rng.shuffle(batches)
        return batches

    def _widen(self, index: int) -> int:
        """Batch width that a labelled line needs, some stretching included, within what the model is trained for."""
        try:
            picture = self.samples[index].open()
        except ImageError:
            return self.buckets.widths[0]
        tall, wide = picture.shape
        width = round(wide * height_for(picture, self.height) / tall * 1.1) + _STEP
        rounded: int = -(-width // _STEP) * _STEP
        return min(max(self.buckets.widths), rounded)
