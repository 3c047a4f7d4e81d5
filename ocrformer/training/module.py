"""The training loop: loss, schedule, and validation by real decoding."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchvision.transforms.functional import pil_to_tensor

from ocrformer.calibration import without_error_rates
from ocrformer.charset import BLANK, SPECIALS, Charset
from ocrformer.config import DecodeOptions, ModelConfig, OptionError
from ocrformer.image import Pixels
from ocrformer.metrics import score
from ocrformer.model.network import Bundle, Network, load
from ocrformer.reader import OCRformer, weights_path
from ocrformer.training.batches import LabelledBatch
from ocrformer.training.echo import warped
from ocrformer.training.losses import aligned_columns, ctc_loss, looking_loss
from ocrformer.training.sheet import worst_lines
from ocrformer.training.teacher import Teacher

_POSITION_OFFSETS = (512, 256)  # columns and tokens by which training shifts positions at most


class LineModule(pl.LightningModule):
    """Trains a network with cross-entropy on the decoder and CTC on the encoder.

    Args:
        model: Shape of the network.
        learning_rate: Peak of the schedule.
        warmup_steps: Steps of linear warm-up; a cosine to 1 % of the peak at the last step follows.
        weight_decay: On matrices only.
        ctc_weight: Share of the CTC loss.
        looking_weight: Weight of the loss that teaches one head of each decoder layer where to look.
        token_noise: Share of decoder inputs replaced by random characters, so that it survives wrong drafts.
        offset_share: Share of batches in which positions begin at a random number instead of zero, so that positions
            that few lines reach are learnt as well.
        warp_share: Share of lines that are bent and lit a little otherwise before they are learnt from.
        teacher: Weights (`default` or a file) whose CTC readings are imitated, beside the texts being learnt.
        keep_backbone: Leave the CNN as it is.
        init: Weights to start from (`default` or a file) instead of random ones; their shape replaces `model`.

    Raises:
        WeightsError: If `init` or `teacher` cannot be used.
        OptionError: If the teacher has another charset, or a number is out of its range.
    """

    hurries = True
    """Whether the learning rate also falls by the end of `max_time`."""

    def __init__(
        self,
        model: ModelConfig,
        *,
        learning_rate: float = 1e-3,
        warmup_steps: int = 500,
        weight_decay: float = 0.02,
        ctc_weight: float = 0.3,
        looking_weight: float = 0.1,
        token_noise: float = 0.06,
        offset_share: float = 0.25,
        warp_share: float = 0.0,
        teacher: str = "",
        keep_backbone: bool = False,
        init: str = "",
    ) -> None:
        super().__init__()
        _check_shares(ctc_weight=ctc_weight, token_noise=token_noise, offset_share=offset_share, warp_share=warp_share)
        if not (learning_rate > 0 and min(warmup_steps, weight_decay, looking_weight) >= 0):
            raise OptionError("learning_rate must be positive; warmup_steps, weight_decay, looking_weight not negative")
        start = load(weights_path(init)) if init else None
        self.charset = start.charset if start else Charset.default()
        self.details = start.details if start else {}
        self.network = start.network if start else Network(model, len(self.charset))
        self.network.to(memory_format=torch.channels_last)
        self.learning_rate = learning_rate
        self.warmup_steps = warmup_steps
        self.weight_decay = weight_decay
        self.ctc_weight = ctc_weight
        self.looking_weight = looking_weight
        self.token_noise = token_noise
        self.offset_share = offset_share
        self.warp_share = warp_share
        self.teacher = Teacher(teacher, self.charset) if teacher else None
        self.kept = [self.network.backbone.stem, self.network.backbone.stages] if keep_backbone else []
        for part in self.kept:
            part.requires_grad_(False)
        self.train()
        self._read: dict[int, list[tuple[str, str, str, Pixels]]] = {}

    def training_step(self, batch: LabelledBatch, batch_index: int) -> Tensor:
        """Loss of one batch."""
        draw = self.draw(batch_index)
        inputs, offsets = self.disturbed(batch, draw)
        if self.warp_share:
            images = warped(batch.images, batch.widths, self.warp_share, draw.getrandbits(62))
            batch = batch._replace(images=images)
        ctc_logits, *others = self.network(batch.images, batch.widths, inputs, offsets=offsets)
        loss = self.loss(batch, ctc_logits, *others)
        if self.teacher is None:
            return loss
        distance = self.teacher.distance(ctc_logits, batch, offsets[0])
        self.log("train/teacher", distance, prog_bar=True)
        return loss + distance

    def train(self, mode: bool = True) -> LineModule:
        """Set the mode of all parts but those that are kept, whose batch norm keeps its statistics."""
        super().train(mode)
        for part in self.kept:
            part.eval()
        return self

    def draw(self, batch_index: int) -> Random:
        """What is random in a batch depends on its number alone, so that a resumed run repeats it."""
        return Random(f"step:{self.global_step}:{batch_index}:{self.global_rank}")

    def disturbed(self, batch: LabelledBatch, draw: Random) -> tuple[Tensor, tuple[int, int]]:
        """Decoder inputs with some wrong characters, and the first column and token of this batch's positions."""
        offsets = (0, 0)
        if draw.random() < self.offset_share:
            offsets = (draw.randrange(_POSITION_OFFSETS[0]), draw.randrange(_POSITION_OFFSETS[1]))
        return self._with_noise(batch.inputs, draw.getrandbits(62)), offsets

    def loss(self, batch: LabelledBatch, ctc_logits: Tensor, logits: Tensor, attention: list[Tensor]) -> Tensor:
        """Loss of what the network made of a batch."""
        cross_entropy = F.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=BLANK)
        ctc = ctc_loss(ctc_logits, batch)
        looking = looking_loss(attention, aligned_columns(ctc_logits, batch), batch, self.network.config.rows)
        parts = {"train/ce": cross_entropy, "train/ctc": ctc, "train/looking": looking}
        self.log_dict(parts | {"lr": self._schedule().get_last_lr()[0]}, prog_bar=True)
        return (1 - self.ctc_weight) * cross_entropy + self.ctc_weight * ctc + self.looking_weight * looking

    def _schedule(self) -> LambdaLR:
        schedule = self.lr_schedulers()
        assert isinstance(schedule, LambdaLR)
        return schedule

    def _with_noise(self, inputs: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(SPECIALS, len(self.charset), inputs.shape, generator=generator)
        replace = (torch.rand(inputs.shape, generator=generator) < self.token_noise).to(inputs.device)
        return torch.where(replace & (inputs >= SPECIALS), noise.to(inputs.device), inputs)

    def configure_optimizers(self) -> Any:
        """AdamW with decay on matrices; linear warm-up, then cosine, to the last step or to the end of `max_time`."""
        matrices = [p for p in self.network.parameters() if p.ndim > 1]
        vectors = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        optimizer = AdamW(groups, lr=self.learning_rate, betas=(0.9, 0.98), fused=True)
        total = self.trainer.estimated_stepping_batches  # infinite where time alone is limited
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]
        timer = next((callback for callback in callbacks if isinstance(callback, Timer)), None)

        def factor(step: int) -> float:
            if step < self.warmup_steps:
                return (step + 1) / self.warmup_steps
            progress = min(1.0, (step - self.warmup_steps) / max(1, total - self.warmup_steps))
            if timer is not None and self.hurries:
                # the first process's time: weights must change alike in all
                progress = max(progress, self.trainer.strategy.broadcast(_share_of_time(timer)))
            return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm here: Lightning refuses to for fused optimisers, whose caveat (loss scaling) bf16 has not."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def bundle(self) -> Bundle:
        """The network as it stands, ready to be saved or to read with."""
        return Bundle(self.network, self.charset, without_error_rates(self.details) | {"steps": str(self.global_step)})

    def validation_step(self, batch: list[tuple[Pixels, str]], batch_index: int, dataloader_idx: int = 0) -> None:
        """Read lines as users do but for second looks, and with CTC alone."""
        reader = OCRformer(self.bundle())
        lines = [line for line, _ in batch]
        decoded = reader.read_prepared(lines, DecodeOptions(second_look=False))
        by_ctc = reader.read_prepared(lines, DecodeOptions(mode="ctc"))
        rows = self._read.setdefault(dataloader_idx, [])
        rows += [(text, a.text, b.text, line) for (line, text), a, b in zip(batch, decoded, by_ctc, strict=True)]

    def on_validation_epoch_end(self) -> None:
        """Error rates of each validation set, and a picture of its worst lines."""
        names = list(self.trainer.datamodule.validation)  # type: ignore[attr-defined]
        folder = self.trainer.log_dir  # asked by every process: the first one tells the others
        for index, rows in sorted(self._read.items()):
            truth, decoded, by_ctc, lines = zip(*rows, strict=True)
            figures = score(truth, decoded)
            self.log(f"{names[index]}/cer", figures.cer, rank_zero_only=True)
            self.log(f"{names[index]}/exact", figures.exact, rank_zero_only=True)
            self.log(f"{names[index]}/cer_ctc", score(truth, by_ctc).cer, rank_zero_only=True)
            if self.trainer.is_global_zero and folder and not self.trainer.sanity_checking:
                self._show(
                    Path(folder) / f"worst-{names[index].replace('/', '-')}.png", worst_lines(lines, truth, decoded)
                )
        self._read.clear()

    def _show(self, path: Path, sheet: Image.Image) -> None:
        """Save a picture, and into TensorBoard where it is on."""
        sheet.save(path)
        for logger in self.trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(path.stem, pil_to_tensor(sheet), self.global_step)


def _share_of_time(timer: Timer) -> float:
    elapsed, remaining = timer.time_elapsed(), timer.time_remaining()
    return min(1.0, elapsed / max(1e-9, elapsed + remaining)) if remaining is not None else 0.0


def _check_shares(**shares: float) -> None:
    """Refuse shares that are none."""
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise OptionError(f"{name} is a share, from 0 to 1, got {share}")
