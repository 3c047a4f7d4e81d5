"""Batches of lines: sample = f(seed, step, slot), so that any run can be resumed exactly, and divided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler

from ocrformer.batching import collate
from ocrformer.charset import BLANK, BOS, EOS
from ocrformer.config import OptionError
from ocrformer.image import MIN_WIDTH, Pixels
from ocrformer.training.lines import Key

_STEP = 16  # widths of batches are multiples of so many pixels,
_PARTS = 16  # and lengths of texts of so small a part of the width


class LabelledBatch(NamedTuple):
    """A training or validation batch.

    Attributes:
        images: uint8 (B, 1, height, W).
        widths: (B,) true widths in pixels.
        inputs: (B, T) ids beginning with BOS, filled with BLANK.
        targets: (B, T) ids ending with EOS, filled with BLANK.
        lengths: (B,) characters of each line.
        old: Boolean (B,), True on lines that fine-tuning replays.
    """

    images: Tensor
    widths: Tensor
    inputs: Tensor
    targets: Tensor
    lengths: Tensor
    old: Tensor


def to_batch(lines: Sequence[tuple[Pixels, list[int]]]) -> LabelledBatch:
    """Prepared lines and their ids to tensors.

    Width and length are rounded up, as each new shape costs a GPU a quarter of a second.
    """
    width = max(line.shape[1] for line, _ in lines)
    images, widths = collate([line for line, _ in lines], _rounded(width, _STEP))
    longest = _rounded(max(len(ids) for _, ids in lines) + 1, max(4, width // _PARTS))
    inputs = torch.full((len(lines), longest), BLANK)
    targets = inputs.clone()
    for row, (_, ids) in enumerate(lines):
        inputs[row, : len(ids) + 1] = torch.tensor([BOS, *ids])
        targets[row, : len(ids) + 1] = torch.tensor([*ids, EOS])
    lengths = torch.tensor([len(ids) for _, ids in lines])
    old = torch.zeros(len(lines), dtype=torch.bool)
    return LabelledBatch(torch.from_numpy(images), torch.from_numpy(widths), inputs, targets, lengths, old)


def _rounded(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


@dataclass(frozen=True)
class Buckets:
    """Widths of training batches, and how often each is drawn.

    Attributes:
        widths: Batch widths in pixels.
        shares: How often each width is drawn, relative to the others.
        pixels: Width times number of lines of a batch over all ranks: cost and memory of every step are equal.
    """

    widths: tuple[int, ...] = (64, 80, 96, 128, 160, 192, 240, 288, 352, 432, 528, 640, 784, 960, 1184, 1536)
    shares: tuple[float, ...] = (3, 4, 5, 8, 9, 9, 10, 10, 9, 8, 7, 6, 5, 3, 2.5, 1.5)
    pixels: int = 20480

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.shares):
            raise OptionError(f"{len(self.widths)} widths of batches, but {len(self.shares)} shares")
        if not self.widths or min(self.widths) < MIN_WIDTH or self.pixels < 1:
            raise OptionError(f"batches are {MIN_WIDTH} pixels wide or more, and hold some")
        if min(self.shares) < 0 or not sum(self.shares):
            raise OptionError("shares of widths are no less than 0, and some are more")


class StepSampler(Sampler[list[Key]]):
    """Endless batches of keys, one per optimiser step: a pure function of (seed, step, rank).

    All ranks draw the same width in a step, so that none waits for another.
    """

    def __init__(self, buckets: Buckets, *, seed: int, start: int, rank: int, world: int) -> None:
        self.buckets = buckets
        self.seed, self.start, self.rank, self.world = seed, start, rank, world

    def __iter__(self) -> Iterator[list[Key]]:
        step = self.start
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> list[Key]:
        """Keys of this rank's part of one step."""
        width = Random(f"{self.seed}:{step}").choices(self.buckets.widths, self.buckets.shares)[0]
        count = max(1, self.buckets.pixels // width // self.world)
        return [Key(self.seed, step, self.rank * count + i, width) for i in range(count)]
