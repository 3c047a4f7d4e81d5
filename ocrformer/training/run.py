"""`ocrformer train`: LightningCLI with this project's defaults."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import TQDMProgressBar, WeightAveraging
from lightning.pytorch.cli import LightningCLI

from ocrformer.display import as_picture
from ocrformer.hardware import fast_bfloat16
from ocrformer.model.network import save
from ocrformer.training.batches import LabelledBatch
from ocrformer.training.data import LineData
from ocrformer.training.ending import EndingTogether, ending_as_asked
from ocrformer.training.fonts import coverage
from ocrformer.training.module import LineModule
from ocrformer.training.sheet import contact_sheet

_NAMED = 50  # most fonts that are spoken of one by one


def precision() -> Literal["bf16-mixed", "32-true"]:
    """Lightning's name for bfloat16 autocast where that is fast; elsewhere it takes a hundred times as long."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bf16-mixed" if fast_bfloat16(device) else "32-true"


class LineProgress(TQDMProgressBar):
    """One bar over all steps, with lines per second and time left."""

    def __init__(self, refresh_rate: int = 20) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self._lines = 0
        self._since = time.perf_counter()

    def init_train_tqdm(self) -> Any:
        """A bar as long as the run."""
        bar = super().init_train_tqdm()
        bar.bar_format = "{desc} {percentage:3.1f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
        return bar

    @property
    def total_train_batches(self) -> int | float:
        """Batches of the run rather than of an epoch, which never ends."""
        steps = self.trainer.max_steps
        return steps * self.trainer.accumulate_grad_batches if steps > 0 else super().total_train_batches

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._lines, self._since = 0, time.perf_counter()
        super().on_train_start(trainer, pl_module)
        self.train_progress_bar.total = self.total_train_batches  # a resumed epoch does not begin, and would not set it
        self.train_progress_bar.initial = trainer.global_step * trainer.accumulate_grad_batches  # for the time left

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: LabelledBatch, batch_idx: int
    ) -> None:
        """Count the lines."""
        self._lines += len(batch.images) * trainer.world_size
        pl_module.log("lines/s", self._lines / (time.perf_counter() - self._since), prog_bar=True)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class Averaging(WeightAveraging):
    """Exponential average of the weights, with which validation reads.

    It is exported as `last.safetensors` after each validation and at the end.

    The average forgets its beginnings: after n updates it spans the last tenth of them, at most 1 / (1 - decay).

    Args:
        decay: Share of the average that an update keeps, in the long run.
    """

    def __init__(self, decay: float = 0.9995) -> None:
        def update(average: Any, current: Any, updates: Any) -> None:
            keep = min(decay, (1 + int(updates)) / (10 + int(updates)))
            if average[0].is_floating_point():
                torch._foreach_lerp_(average, current, 1 - keep)
            else:
                torch._foreach_copy_(average, current)

        super().__init__(multi_avg_fn=torch.no_grad()(update))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Export, then go back to the current weights."""
        if not trainer.sanity_checking:
            _export(trainer, pl_module)
        super().on_validation_epoch_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Export what came after the last validation as well."""
        super().on_train_end(trainer, pl_module)
        _export(trainer, pl_module)


class Preview(pl.Callback):
    """Before training: where it writes to; there `preview.png`, lines as it will see them; what named fonts lack."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Name the folder, write the sheet, and say what each of a few named fonts can draw."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, LineData)
        folder = trainer.log_dir
        if not trainer.is_global_zero or not folder:
            return
        named = data.named_faces if len(data.named_faces) <= _NAMED else []
        for face in named:
            trainer.print(f"font {coverage(face)}")
        trainer.print(f"{folder}: preview.png now; last.safetensors and the worst lines at each validation")
        Path(folder).mkdir(parents=True, exist_ok=True)
        keys = data.preview_keys()
        lines, texts = zip(*((line, data.charset.decode(ids)) for line, ids in map(data.training, keys)), strict=True)
        contact_sheet([as_picture(line) for line in lines], [[text] for text in texts]).save(
            Path(folder) / "preview.png"
        )


def _export(trainer: pl.Trainer, module: pl.LightningModule) -> None:
    """Write `last.safetensors` into the log folder."""
    folder = trainer.log_dir  # asked by every process: the first one tells the others
    if trainer.is_global_zero and folder:
        assert isinstance(module, LineModule)
        Path(folder).mkdir(parents=True, exist_ok=True)
        save(Path(folder) / "last.safetensors", module.bundle())


class TrainCLI(LightningCLI):
    """LightningCLI with the bar above, unless `--trainer.enable_progress_bar false`."""

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Add the bar if it is wanted: Lightning takes one beside that option for a contradiction."""
        if self._get(self.config_init, "trainer.enable_progress_bar") is not False:
            self.trainer_defaults["callbacks"] = [LineProgress(), *self.trainer_defaults["callbacks"]]
        trainer = super().instantiate_trainer(**kwargs)
        _ = [logger.version for logger in trainer.loggers]  # numbered before one makes its folder: all write to one
        return trainer


def main(arguments: Sequence[str]) -> None:
    """Train as the YAML files and options say.

    Exits with status 143 after a checkpoint if the process is asked to end (SIGTERM).
    """
    with ending_as_asked():
        TrainCLI(
            LineModule,
            LineData,
            args=list(arguments),
            seed_everything_default=0,
            parser_kwargs={"exit_on_error": False, "fit": {"exit_on_error": False}},
            save_config_kwargs={"overwrite": True},
            trainer_defaults={
                "max_epochs": -1,
                "use_distributed_sampler": False,
                "check_val_every_n_epoch": None,
                "num_sanity_val_steps": 0,
                "precision": precision(),
                "gradient_clip_val": 1.0,
                "callbacks": [Preview(), EndingTogether()],
            },
            auto_configure_optimizers=False,
        )
