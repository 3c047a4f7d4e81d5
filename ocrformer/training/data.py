"""Lightning's data module: endless synthetic batches, validation in unseen fonts and on labelled folders."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, Dataset

from ocrformer.charset import Charset
from ocrformer.config import ModelConfig, OptionError
from ocrformer.datasets import load_samples
from ocrformer.image import Pixels, prepare
from ocrformer.training.batches import Buckets, LabelledBatch, StepSampler, to_batch
from ocrformer.training.echo import Echo
from ocrformer.training.fonts import UNFIT, Face, FontError, font_places, load_faces
from ocrformer.training.lines import Key, LineFactory, Voice
from ocrformer.training.text import TextSource

logger = logging.getLogger(__name__)


class SyntheticLines(Dataset[Any]):
    """Map-style data set whose indices are keys."""

    def __init__(self, factory: LineFactory) -> None:
        self.factory = factory

    def __getitem__(self, key: Key) -> tuple[Pixels, list[int]]:
        return self.factory(key)


@dataclass(frozen=True)
class SyntheticConfig:
    """Where synthetic lines come from.

    Attributes:
        fonts: Font files and folders; none means the system's fonts.
        exclude: Parts of font file names to leave out.
        text: Text files, sentences or paragraphs a line; none means word frequencies.
        korean: Share of Korean lines; their fonts are those of `fonts` that have Hangul.
        korean_text: Korean text files.
        seed: Everything drawn depends on it.
        buckets: Batch widths.
    """

    fonts: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=lambda: list(UNFIT))
    text: list[str] = field(default_factory=list)
    korean: float = 0.0
    korean_text: list[str] = field(default_factory=list)
    seed: int = 0
    buckets: Buckets = field(default_factory=Buckets)

    def __post_init__(self) -> None:
        if not 0 <= self.korean <= 1:
            raise OptionError(f"korean is a share of lines, from 0 to 1, got {self.korean}")


def voices_of(config: SyntheticConfig, charset: Charset, faces: Sequence[Face]) -> list[Voice]:
    """One voice for Latin script and one for Korean, each if it is wanted.

    Raises:
        FontError: If Korean is wanted and no font has Hangul.
        DatasetError: If texts are named that hold none.
    """
    voices = []
    if config.korean < 1:
        voices.append(Voice(1 - config.korean, TextSource(charset, text_files(config.text)), faces))
    if config.korean:
        hangul = [face for face in faces if face.syllables]
        if not hangul:
            raise FontError("no font with Hangul found: install some (for example fonts-nanum) or name them")
        voices.append(Voice(config.korean, TextSource(charset, text_files(config.korean_text), "ko"), hangul))
    return voices


def only(voice: Voice, *, held_out: bool) -> Voice:
    """The voice with the faces kept for validation or with the others; if there are none of them, with all."""
    if not any(face.held_out == held_out for face in voice.faces):
        logger.warning("no font family is %s: all are drawn in", "held out" if held_out else "for training")
    return replace(voice, faces=[face for face in voice.faces if face.held_out == held_out] or voice.faces)


def text_files(places: Sequence[str]) -> list[Path]:
    """Text files named directly or found as *.txt in folders, but hidden ones.

    Raises:
        FileNotFoundError: If a place does not exist, or is a folder without any.
    """
    files: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise FileNotFoundError(f"no such text file or folder: {place}")
        found = sorted(place.glob("[!.]*.txt")) if place.is_dir() else [place]
        if not found:
            raise FileNotFoundError(f"{place}: no *.txt in this folder; name the files, or the folder that holds them")
        files += found
    return files


class LineData(pl.LightningDataModule):
    """Training batches without end; validation lines in fonts that training never sees, and labelled folders.

    Args:
        synthetic: Source of lines.
        validation_lines: Synthetic validation lines.
        validation_folders: Folders of labelled lines to read at every validation.
        workers: Loader processes.
        echo: How often each batch is used: more than once where lines are drawn more slowly than they are learnt from.
            A resumed run is then not repeated bit for bit.

    Raises:
        OptionError: If a number is too small.
    """

    def __init__(
        self,
        synthetic: SyntheticConfig,
        *,
        validation_lines: int = 400,
        validation_folders: list[str] | None = None,
        workers: int = 1,
        echo: int = 1,
    ) -> None:
        super().__init__()
        if echo < 1:
            raise OptionError(f"echo is how often a batch is used, once or more, got {echo}")
        if min(workers, validation_lines) < 0:
            raise OptionError(f"workers and validation_lines cannot be negative, got {workers} and {validation_lines}")
        self.synthetic = synthetic
        self.validation_lines = validation_lines
        self.validation_folders = validation_folders or []
        self.workers = workers
        self.echo = echo
        self.height, self.charset = ModelConfig.height, Charset.default()

    def setup(self, stage: str) -> None:
        """Load fonts and texts once per process, for the charset and the line height of the model."""
        if self.trainer is not None:
            module: Any = self.trainer.lightning_module
            self.height, self.charset = module.network.config.height, module.charset
        config = self.synthetic
        faces = load_faces(font_places(config.fonts), self.charset, exclude=config.exclude)
        self.named_faces = faces if config.fonts else []
        voices = voices_of(config, self.charset, faces)
        self.training = LineFactory([only(voice, held_out=False) for voice in voices], self.height)
        self.validation = {
            "unseen-fonts-ko" if voice.source.korean else "unseen-fonts": self._unseen_fonts(
                LineFactory([only(voice, held_out=True)], self.height)
            )
            for voice in voices
        }
        names = [Path(folder).name for folder in self.validation_folders]
        for name, folder in zip(names, self.validation_folders, strict=True):
            samples = load_samples(folder)
            lines = [prepare(sample.open(), self.height, sample.name) for sample in samples]
            called = name if names.count(name) == 1 else folder
            self.validation[called] = list(zip(lines, (s.text for s in samples), strict=True))

    def _unseen_fonts(self, factory: LineFactory) -> list[tuple[Pixels, str]]:
        widths = self.synthetic.buckets.widths
        keys = [Key(-1 - self.synthetic.seed, 0, i, widths[i % len(widths)]) for i in range(self.validation_lines)]
        return [(line, self.charset.decode(ids)) for line, ids in map(factory, keys)]

    def preview_keys(self, count: int = 60) -> list[Key]:
        """Lines of all widths that training will not draw, the same in every run."""
        widths = self.synthetic.buckets.widths
        return [Key(-2 - self.synthetic.seed, 0, i, widths[i % len(widths)]) for i in range(count)]

    def train_dataloader(self) -> Iterable[LabelledBatch]:
        """Batches from the step at which training stands."""
        trainer = self.trainer
        assert trainer is not None
        sampler = StepSampler(
            self.synthetic.buckets,
            seed=self.synthetic.seed,
            start=trainer.global_step * trainer.accumulate_grad_batches // self.echo,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )
        loader: DataLoader[Any] = DataLoader(
            SyntheticLines(self.training),
            batch_sampler=sampler,
            num_workers=self.workers,
            collate_fn=to_batch,
            worker_init_fn=one_thread,
            prefetch_factor=8 if self.workers else None,
        )
        return loader if self.echo == 1 else Echo(loader, self.echo, self.synthetic.seed)

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """One loader per validation set; each gives its lines in groups of (line, text)."""
        return [DataLoader(lines, batch_size=256, collate_fn=list) for lines in self.validation.values()]  # type: ignore[arg-type]


def one_thread(_: int) -> None:
    """Loader workers run beside the training threads and take one core at most.

    Signals to a whole process group, as terminals and schedulers send them, are for the trainer, which saves and ends.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
