"""`ocrformer train --init`: a model made better on the user's lines, fonts or characters."""

from __future__ import annotations

import shutil
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ocrformer.charset import BLANK
from ocrformer.image import prepare
from ocrformer.inspection import evenly
from ocrformer.model.backbone import inside
from ocrformer.model.network import STRIDE, Bundle, load, save
from ocrformer.training.batches import Buckets, LabelledBatch
from ocrformer.training.data import one_thread
from ocrformer.training.ending import ending_as_asked
from ocrformer.training.interpolation import gentlest
from ocrformer.training.losses import drift
from ocrformer.training.material import Material, Task, drawn
from ocrformer.training.mixture import MixedLines, MixedSampler, to_mixed_batch
from ocrformer.training.module import LineModule
from ocrformer.training.run import Averaging, LineProgress, precision

MODEL = "model.safetensors"
"""Name of the fine-tuned weights in the output folder."""
_STEERING = 1000  # labelled lines that steer training, at most
_DRAWN = 300  # synthetic lines that do
_CHECKS = 12  # validations, at most
_PATIENCE = 4  # validations without improvement before training stops, in the second half of its steps
_HOLD = 1.0  # weight of predictions that must not change, beside those that must
_FORGETTING = 1.05  # error on old lines, relative to before, from which on weights are judged worse for it


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to learn from so many lines; meant to need no tuning from 100 to 100,000 lines.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak.
        replay: Share of replayed synthetic lines.
        pixels: Columns of pixels in a batch.
    """

    steps: int
    learning_rate: float
    replay: float
    pixels: int = 10_240

    @classmethod
    def by_size(cls, lines: int, steps: int = 0) -> Recipe:
        """More lines, more steps (with the square root) unless they are given, and less replay; of very many lines
        batches eight times as large.

        Of few lines twice as large steps learn hardly more, and forget twice as much.
        """
        if lines >= 10_000:
            return cls(steps=steps or int(5.5 * lines**0.5), learning_rate=4e-4, replay=0.3, pixels=81_920)
        learning_rate, replay = (1.5e-4, 0.6) if lines < 1000 else (2e-4, 0.5)
        return cls(steps=steps or int(150 + 24 * lines**0.5), learning_rate=learning_rate, replay=replay)

    @classmethod
    def for_drawn(cls, steps: int = 0) -> Recipe:
        """For own fonts and texts alone, of which no line comes twice: larger steps learn more and forget no more.

        With 5e-4 in place of 2e-4 a hard font is read with 1.3 instead of 1.8 % of errors.
        """
        return cls(steps=steps or 1200, learning_rate=5e-4, replay=0.5)


class FinetuneData(pl.LightningDataModule):
    """Mixed batches, and two validation sets: what is learnt (`new`) and what must not be forgotten (`old`)."""

    def __init__(self, material: Material, recipe: Recipe, task: Task, buckets: Buckets) -> None:
        super().__init__()
        self.material, self.recipe, self.task, self.buckets = material, recipe, task, buckets
        height = material.bundle.network.config.height
        own = drawn(material.own, _DRAWN, "steering") if material.own else []
        old = drawn(material.replay, _DRAWN, "steering")
        sets = {"new": evenly(material.steering, _STEERING) + own, "old": old}
        self.validation = {
            name: [(prepare(sample.open(), height, sample.name), sample.text) for sample in samples]
            for name, samples in sets.items()
        }

    def train_dataloader(self) -> DataLoader[Any]:
        """Endless mixed batches."""
        material = self.material
        lines = MixedLines(material.replay, material.own, material.training, material.bundle.charset)
        sampler = MixedSampler(
            material.training,
            own=material.own is not None,
            height=material.bundle.network.config.height,
            buckets=self.buckets,
            replay=self.recipe.replay,
            seed=self.task.seed,
            start=self.trainer.global_step if self.trainer else 0,
        )
        return DataLoader(
            lines,
            batch_sampler=sampler,
            collate_fn=to_mixed_batch,
            num_workers=self.task.workers,
            worker_init_fn=one_thread,
            prefetch_factor=8 if self.task.workers else None,
        )

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """One loader per validation set."""
        return [DataLoader(lines, batch_size=256, collate_fn=list) for lines in self.validation.values()]  # type: ignore[arg-type]


class FinetuneModule(LineModule):
    """Trains from given weights and holds them, on replayed lines, to what they predicted before.

    Batch statistics of the pictures stay as they were learnt from millions of lines.
    """

    hurries = False  # small steps learn less, and weights are averaged anyway: a hard font 25.6 instead of 24.7 %

    def __init__(self, bundle: Bundle, recipe: Recipe) -> None:
        super().__init__(
            bundle.network.config, learning_rate=recipe.learning_rate, warmup_steps=max(20, recipe.steps // 20)
        )
        self.charset, self.network, self.details = bundle.charset, bundle.network, bundle.details
        self.network.to(memory_format=torch.channels_last)
        self.train()
        self._before = (deepcopy(bundle.network).eval().requires_grad_(False),)  # in a tuple: no part of this module

    def on_fit_start(self) -> None:
        """Take the network that is not a part of this module to the same device."""
        self._before[0].to(self.device)

    def training_step(self, batch: LabelledBatch, batch_index: int) -> Tensor:
        """Loss of one batch, and of what has changed in the reading of its replayed lines."""
        inputs, offsets = self.disturbed(batch, self.draw(batch_index))
        now = self.network(batch.images, batch.widths, inputs, offsets=offsets)
        loss = self.loss(batch, *now)
        if not batch.old.any():
            return loss
        old = LabelledBatch(*(part[batch.old] for part in batch))
        with torch.no_grad():
            before = self._before[0](old.images, old.widths, inputs[batch.old], offsets=offsets)
        places = inside(old.widths, old.images.shape[-1])[:, ::STRIDE], old.targets != BLANK
        ctc, text = (
            drift(logits[batch.old], was, real, old.lengths.sum())
            for logits, was, real in zip(now[:2], before[:2], places, strict=True)
        )
        moved = self.ctc_weight * ctc + (1 - self.ctc_weight) * text
        self.log("train/drift", moved)
        return loss + _HOLD * moved

    def train(self, mode: bool = True) -> FinetuneModule:
        """Set the mode of all parts but batch norm."""
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class KeepBest(pl.Callback):
    """Keeps the averaged weights that read the new lines best without forgetting; stops when they get no better.

    Nothing stops in the first half: large steps unsettle what small ones at the end put right.

    Args:
        best: File that gets them.
    """

    def __init__(self, best: Path) -> None:
        self.best_file = best
        self.best = float("inf")
        self.old: float | None = None
        self.waited = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge the weights that were just validated."""
        figures = trainer.callback_metrics
        new, old = (float(figures[f"{s}/cer"] + figures[f"{s}/cer_ctc"]) / 2 for s in ("new", "old"))
        if self.old is None:  # the weights that training began with
            self.old, self.best = max(old, 1e-4), new
            return
        judged = new * max(1.0, old / self.old / _FORGETTING) ** 3
        self.waited += 1
        if judged < self.best:
            self.best, self.waited = judged, 0
            shutil.copyfile(Path(str(trainer.log_dir)) / "last.safetensors", self.best_file)
        trainer.should_stop |= self.waited >= _PATIENCE and 2 * trainer.global_step >= trainer.max_steps


def train(task: Task, material: Material, recipe: Recipe) -> Path:
    """Fine-tune and return the path of the best weights (those at the start, if nothing improved on them)."""
    log = task.output / "log"
    log.mkdir(parents=True, exist_ok=True)
    best = log / "best.safetensors"
    module = FinetuneModule(material.bundle, recipe)
    save(best, module.bundle())
    checks = max(1, min(_CHECKS, recipe.steps // 25))
    every = recipe.steps // checks
    trainer = pl.Trainer(
        max_epochs=-1,
        max_steps=every * checks,  # the weights of the last step are judged too
        max_time=task.max_time or None,
        devices=1,  # the sampler knows of one process
        precision=precision(),
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=every,
        log_every_n_steps=10,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=log,
        logger=pl.loggers.CSVLogger(log, name=""),
        callbacks=[LineProgress(), Averaging(decay=0.995), KeepBest(best)],
    )
    data = FinetuneData(material, recipe, task, Buckets(pixels=recipe.pixels))
    with ending_as_asked():
        trainer.validate(module, datamodule=data, verbose=False)
        trainer.fit(module, datamodule=data)
    save(best, gentlest(material.before, load(best), data.validation["new"], data.validation["old"]))
    return best.replace(task.output / MODEL)  # only now: a run that was stopped leaves the model of an earlier one
