"""What a fine-tuning task comes down to: weights that know every character, lines to learn from and to test on."""

from __future__ import annotations

import copy
import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

from ocrformer.charset import Charset
from ocrformer.datasets import DatasetError, Sample, load_samples
from ocrformer.inspection import FEWEST, inspect, labels_of, split
from ocrformer.model.network import Bundle, load
from ocrformer.reader import weights_path
from ocrformer.training.data import SyntheticConfig, text_files, voices_of
from ocrformer.training.fonts import OWN, Face, FontError, font_places, load_faces
from ocrformer.training.growth import grow
from ocrformer.training.lines import LineFactory, Voice
from ocrformer.training.text import TextSource, read_text

logger = logging.getLogger(__name__)

_STEERED = 60  # labelled lines to steer by, if that is
_SHARES = 0.1, 0.25  # within these shares of all
_DOCUMENTS = 20  # of fewer, each is divided between learning and steering
_KOREAN = 0.3  # share of Korean lines in what the default model is trained on


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
        general_text: Texts for replay, Korean ones known by their letters; none means words by frequency.
        steps: Optimiser steps; 0 means by the size of the data.
        max_time: Longest training, `DD:HH:MM:SS`.
        seed: Which lines training draws, and how they are worn, depends on it.
        workers: Loader processes.
        overwrite: Replace what an earlier run left in the output folder.
    """

    init: str = "default"
    output: Path = Path("finetuned")
    data: list[str] = field(default_factory=list)
    fonts: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    general_fonts: list[str] = field(default_factory=list)
    general_text: list[str] = field(default_factory=list)
    steps: int = 0
    max_time: str = ""
    seed: int = 0
    workers: int = 1
    overwrite: bool = False


@dataclass
class Material:
    """What a task comes down to.

    Attributes:
        before: The weights to start from, unchanged.
        bundle: A copy that knows every character; what is trained.
        replay: Makes lines as the model was trained on.
        own: Makes lines in the user's fonts or texts.
        own_faces: The user's fonts.
        training: Labelled lines to learn from.
        steering: Labelled lines that say when to stop.
        held_out: Labelled lines that only the report is made from.
    """

    before: Bundle
    bundle: Bundle
    replay: LineFactory
    own: LineFactory | None
    own_faces: list[Face]
    training: list[Sample]
    steering: list[Sample]
    held_out: list[Sample]


def gather(task: Task) -> Material:
    """Load, check and divide everything.

    Raises:
        DatasetError: If there is nothing to learn from, or too few labelled lines can be used.
        WeightsError: If the weights to start from cannot be used.
        FileNotFoundError: If a named file or folder does not exist.
        FontError: If no font can be used.
    """
    if not (task.data or task.fonts or task.text):
        raise DatasetError("nothing to learn from: give --data, --fonts or --text")
    before = load(weights_path(task.init))
    samples = [sample for place in task.data for sample in load_samples(place)]
    usable = _usable(samples, before) if samples else []
    texts = [read_text(path) for path in text_files(task.text)]
    bundle = grow(copy.deepcopy(before), "\n".join([*(sample.text for sample in usable), *texts]))
    new = set(before.charset.missing(" ".join(texts)))
    general = load_faces(font_places(task.general_fonts), bundle.charset)
    replay = LineFactory(_replayed(before.charset, general, task.general_text), before.network.config.height)
    own_faces = _having(new, load_faces(task.fonts, bundle.charset, exclude=(), required=OWN)) if task.fonts else []
    own = _own(task, bundle, new, own_faces or general)
    training, steering, held_out = _divided(usable) if samples else ([], [], [])
    return Material(before, bundle, replay, own, own_faces, training, steering, held_out)


def _replayed(charset: Charset, faces: list[Face], places: Sequence[str]) -> list[Voice]:
    """What the model was trained on, Korean too where it reads it and there are fonts for it."""
    korean = _KOREAN if charset.reads_hangul and any(face.syllables for face in faces) else 0.0
    latin, hangul = ([str(file) for file in files] for files in _by_script(text_files(places)))
    if charset.reads_hangul and hangul and not korean:
        raise FontError(f"{hangul[0]} is Korean, and no font has Hangul: name one that does with --general-fonts")
    return voices_of(SyntheticConfig(text=latin, korean=korean, korean_text=hangul), charset, faces)


def _by_script(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Texts in Latin script, and Korean ones."""
    korean = [file for file in files if _is_korean(file)]
    return [file for file in files if file not in korean], korean


def _is_korean(file: Path) -> bool:
    """Whether a quarter of a text is Hangul syllables."""
    text = unicodedata.normalize("NFC", read_text(file)[:20_000])
    return 4 * sum("가" <= character <= "힣" for character in text) > len(text)


def _divided(samples: list[Sample]) -> tuple[list[Sample], list[Sample], list[Sample]]:
    """Lines to learn from, to steer by and to be tested on.

    No document is in two of them, but where they are few: one whole document to steer by would be too many lines to go
    without, and whether it gets better would tell little about the others.
    """
    if len(samples) < FEWEST:
        raise DatasetError(f"{len(samples)} usable lines are too few to learn from and be tested on: {FEWEST} at least")
    rest, held_out = split(samples)
    share = float(np.clip(_STEERED / len(rest), *_SHARES))
    training, steering = split([samples[i] for i in rest], share, fewest=_DOCUMENTS)
    return [samples[rest[i]] for i in training], [samples[rest[i]] for i in steering], [samples[i] for i in held_out]


def _having(new: set[str], faces: list[Face]) -> list[Face]:
    """The user's fonts that draw all new characters of the user's texts; the others are named."""
    for face in faces:
        if lacking := sorted(new - face.characters):
            logger.warning("left out: %s does not draw %s", Path(face.path).name, " ".join(lacking[:12]))
    having = [face for face in faces if new <= face.characters]
    if not having:
        raise FontError(f"none of these fonts has all of {' '.join(sorted(new))}: name one that does with --fonts")
    return having


def _own(task: Task, bundle: Bundle, new: set[str], among: list[Face]) -> LineFactory | None:
    """The factory of the user's fonts and texts; texts with new characters are drawn in fonts that have them.

    Without texts, fonts with Hangul are drawn in both scripts.
    """
    if not (task.fonts or task.text):
        return None
    files = text_files(task.text)
    faces = [face for face in among if new <= face.characters]
    if not faces:
        raise FontError(f"no font has all of {' '.join(sorted(new))}: name one that does with --fonts")
    hangul = [face for face in faces if face.syllables] if bundle.charset.reads_hangul else []
    latin, korean = _by_script(files) if bundle.charset.reads_hangul else (files, [])
    if korean and not hangul:
        raise FontError(f"{korean[0]} is Korean, and no font has Hangul: name one that does with --fonts")
    voices = []
    if latin or not korean:
        voices.append(Voice(1.0, TextSource(bundle.charset, latin, emphasised=new), faces))
    if korean or (hangul and not files):
        voices.append(Voice(1.0, TextSource(bundle.charset, korean, "ko", new), hangul))
    return LineFactory(voices, bundle.network.config.height)


def _usable(samples: Sequence[Sample], bundle: Bundle) -> list[Sample]:
    """Lines that can be learnt from, each once; the others are named or counted."""
    found = inspect(samples, bundle.charset, bundle.network.config.height)
    for sentence in found.unreadable:
        logger.warning("left out: %s", sentence)
    if found.cramped:
        logger.warning("left out: %d labels too long for their pictures", len(found.cramped))
    if found.long:
        logger.warning("left out: %d lines too long to learn from; cut them in two", len(found.long))
    if found.broken:
        logger.warning("left out: %d labels with control characters, which no print has", len(found.broken))
    learnable = found.learnable
    again = len(set(found.usable) - set(found.broken)) - len(learnable)
    if again:
        logger.warning("left out: %d pictures that are there already", again)
    for group in found.contradictory:
        logger.warning("of labels that contradict each other, the first is learnt: %s", labels_of(samples, group))
    return [samples[i] for i in learnable]


def drawn(factory: LineFactory, count: int, name: str) -> list[Sample]:
    """Synthetic lines that training never draws."""
    made: list[Sample] = []
    for index in range(count):
        rng = Random(f"test:{name}:{index}")
        text, page = factory.page(rng, rng.randint(64, 700))
        made.append(Sample(f"{name}#{index}", text, name, partial(np.asarray, page)))
    return made
