"""What a fine-tuning task comes down to: weights that know every character, lines to learn from and to test on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ocrformer.charset import Charset
from ocrformer.datasets import DatasetError, Sample, load_samples
from ocrformer.image import Pixels
from ocrformer.inspection import Inspection, inspect, split
from ocrformer.model.network import Bundle, load
from ocrformer.reader import weights_path
from ocrformer.training.data import SyntheticConfig, text_files, voices_of
from ocrformer.training.fonts import Face, font_places, load_faces
from ocrformer.training.growth import grow
from ocrformer.training.lines import LineFactory, Voice
from ocrformer.training.text import TextSource

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """What to learn.

    Attributes:
        init: Weights to start from.
        output: Folder for the model and the report.
        data: Labelled lines.
        fonts: The user's fonts.
        text: The user's texts, new characters among them.
        general_fonts: Fonts for replay and for own texts; none means the system's.
        steps: Optimiser steps; 0 means by the size of the data.
        max_time: Longest training, `DD:HH:MM:SS`.
        seed: Everything drawn depends on it.
        workers: Loader processes.
    """

    init: str = "default"
    output: Path = Path("finetuned")
    data: list[str] = field(default_factory=list)
    fonts: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    general_fonts: list[str] = field(default_factory=list)
    steps: int = 0
    max_time: str = ""
    seed: int = 0
    workers: int = 1


@dataclass
class Material:
    """What a task comes down to: weights that know every character, lines to learn from and to be tested on."""

    bundle: Bundle
    replay: LineFactory
    own: LineFactory | None
    own_faces: list[Face]
    training: list[Sample]
    held_out: list[Sample]
    inspection: Inspection | None


def gather(task: Task) -> Material:
    """Load, check and divide everything.

    Raises:
        DatasetError: If no labelled line can be used.
        FileNotFoundError: If a named file or folder does not exist.
        ValueError: If there is nothing new to learn, or no font.
    """
    if not (task.data or task.fonts or task.text):
        raise ValueError("nothing to learn from: give --data, --fonts or --text")
    samples = [sample for place in task.data for sample in load_samples(place)]
    texts = [path.read_text("utf-8") for path in text_files(task.text)]
    before = load(weights_path(task.init))
    bundle = grow(before, "".join([*(sample.text for sample in samples), *texts]))
    general = load_faces(font_places(task.general_fonts), bundle.charset)
    replay = LineFactory(voices_of(SyntheticConfig(), before.charset, general), before.network.config.height)
    own_faces = load_faces(task.fonts, bundle.charset) if task.fonts else []
    own = _own(task, bundle, before.charset, own_faces, general)
    found = _inspected(samples, bundle) if samples else None
    usable = [samples[i] for i in _usable(found)] if found else []
    if samples and len(usable) < 2:
        raise DatasetError("no two labelled lines can be used; `ocrformer data check` says why")
    training, held = split(usable) if usable else ([], [])
    return Material(bundle, replay, own, own_faces, [usable[i] for i in training], [usable[i] for i in held], found)


def _own(task: Task, bundle: Bundle, known: Charset, own: list[Face], general: list[Face]) -> LineFactory | None:
    """The factory of the user's fonts and texts; texts with new characters are drawn in fonts that have them."""
    if not (task.fonts or task.text):
        return None
    files = text_files(task.text)
    new = set(bundle.charset.characters) - set(known.characters)
    faces = own or [face for face in general if new <= face.characters]
    if not faces:
        raise ValueError(f"no font has all of {' '.join(sorted(new))}: name one with --fonts")
    source = TextSource(bundle.charset, files, emphasised=new)
    return LineFactory([Voice(1.0, source, faces)], bundle.network.config.height)


def _inspected(samples: Sequence[Sample], bundle: Bundle) -> Inspection:
    found = inspect(samples, bundle.charset, bundle.network.config.height)
    for sentence in found.unreadable:
        logger.warning("left out: %s", sentence)
    if found.cramped:
        logger.warning("left out: %d labels too long for their pictures", len(found.cramped))
    return found


def _usable(found: Inspection) -> list[int]:
    cramped = set(found.cramped)
    return [index for index in sorted(found.lines) if index not in cramped]


def new_samples(material: Material, most: int) -> list[Sample]:
    """What the model is to get better at: held-out lines, or unseen lines in the user's fonts and texts."""
    if material.held_out:
        return material.held_out[:: max(1, len(material.held_out) // most)][:most]
    assert material.own is not None
    return drawn(material.own, most, "own")


def old_samples(factory: LineFactory, most: int) -> list[Sample]:
    """Synthetic lines as the model was trained on, the same in every run."""
    return drawn(factory, most, "general")


def drawn(factory: LineFactory, count: int, name: str) -> list[Sample]:
    """Synthetic lines that training never draws."""
    made: list[Sample] = []
    for index in range(count):
        rng = Random(f"test:{name}:{index}")
        text, page = factory.page(rng, rng.randint(64, 700))
        made.append(Sample(f"{name}#{index}", text, name, _opener(page)))
    return made


def _opener(page: Pixels) -> Any:
    return lambda: page
