"""Lines used several times, each time a little otherwise: for machines that learn faster than they draw lines.

"Faster Neural Network Training with Data Echoing" (Choi et al. 2019, arXiv 1907.05550).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from random import Random

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrformer.image import PAPER
from ocrformer.model.backbone import inside
from ocrformer.training.batches import LabelledBatch

_KEPT = 256  # batches from which the repeated ones are drawn


class Echo:
    """Batches of a loader, each followed by others of the last ones, drawn at random.

    A resumed run has none to begin with: that run is not repeated bit for bit.

    Args:
        loader: New batches without end.
        times: How often a batch is used on average.
        seed: What is drawn depends on it and on the number of new batches.
    """

    def __init__(self, loader: Iterable[LabelledBatch], times: int, seed: int) -> None:
        self.loader, self.times, self.seed = loader, times, seed

    def __iter__(self) -> Iterator[LabelledBatch]:
        kept: list[LabelledBatch] = []
        for number, shared in enumerate(self.loader):
            new = LabelledBatch(*(part.clone() for part in shared))  # workers' memory is given back
            yield new
            kept = [*kept[-_KEPT + 1 :], new]
            rng = Random(f"{self.seed}:echo:{number}")
            yield from (rng.choice(kept) for _ in range(self.times - 1))


def warped(images: Tensor, widths: Tensor, share: float, seed: int) -> Tensor:
    """Lines that lie, lean, swing and look a little otherwise, at the same widths, so that frames and texts still fit.

    Args:
        images: Prepared lines, uint8 (B, 1, height, W).
        widths: (B,) true widths in pixels.
        share: Of the lines; the others stay as they are.
        seed: Everything drawn depends on it.
    """
    generator = torch.Generator(images.device).manual_seed(seed)

    def draw(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator)

    ink = images.float() - PAPER
    ink = F.grid_sample(ink, _places(images, draw), align_corners=False)  # paper outside
    ink = ink + draw(-0.5, 0.8) * (F.avg_pool2d(ink, 3, 1, 1) - ink)  # sharper or softer
    grain = torch.randn(ink.shape, device=ink.device, generator=generator)
    ink = ink * draw(0.6, 1.1) + grain * 20 * draw(0, 1) ** 3
    used = inside(widths, images.shape[-1])[:, None, None]
    changed = (PAPER + ink * used).round().clamp(0, 255).to(torch.uint8)
    return torch.where(draw(0, 1) < share, changed, images)


def _places(images: Tensor, draw: Callable[[float, float], Tensor]) -> Tensor:
    """From where each pixel is taken, (B, height, W, 2), in the units of `grid_sample`: -1 to 1 across the picture."""
    height, width = images.shape[-2:]
    y = (torch.arange(height, device=images.device)[:, None] + 0.5) * 2 / height - 1
    x = torch.arange(width, device=images.device) + 0.5  # pixels
    swing = torch.sin(x * 2 * math.pi / draw(60, 400) + draw(0, 2 * math.pi))
    columns = x + draw(-1.2, 1.2) * y + draw(0, 2) * swing
    rows = y * draw(0.9, 1.12) + draw(-0.08, 0.08) + draw(-0.06, 0.06) * swing
    return torch.stack((columns * 2 / width - 1, rows), dim=-1)[:, 0]
