"""`ocrformer data check`: what is in a labelled data set, and what is wrong with it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from ocrformer.charset import Charset, normalise
from ocrformer.datasets import Sample
from ocrformer.image import ImageError, prepare
from ocrformer.long_lines import MAX_WIDTH
from ocrformer.model.network import STRIDE

FEWEST = 10
"""Lines that fine-tuning needs."""
_HELD_OUT = 0.1  # share of lines that the suggested split keeps for validation
_NAMED = 10  # findings of a kind that are told one by one


@dataclass
class Inspection:
    """Findings about a data set.

    Attributes:
        samples: All samples.
        usable: Indices of the samples that can be trained on: readable, and with room for their labels.
        heights: Heights of the pictures in pixels.
        unreadable: Sentences about pictures that could not be opened.
        unknown: Characters that the model's charset lacks, with the lines that hold them.
        duplicates: Groups of indices of samples with the same picture.
        contradictory: Those of them whose labels differ.
        cramped: Indices of labels with more characters than the picture has room for.
        long: Indices of lines that are read in pieces, and too long to learn from.
        empty: Indices of empty labels.
        broken: Indices of labels with control characters, which no print has.
    """

    samples: Sequence[Sample]
    usable: list[int] = field(default_factory=list)
    heights: list[int] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown: Counter[str] = field(default_factory=Counter)
    duplicates: list[list[int]] = field(default_factory=list)
    contradictory: list[list[int]] = field(default_factory=list)
    cramped: list[int] = field(default_factory=list)
    long: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)

    @property
    def learnable(self) -> list[int]:
        """Indices of what training learns from: the usable ones without control characters, each picture once."""
        able = set(self.usable) - set(self.broken)
        groups = [[i for i in group if i in able] for group in self.duplicates]
        return sorted(able - {i for group in groups for i in group[1:]})  # else they would be tested on as well

    @property
    def sound(self) -> bool:
        """Whether nothing needs mending before training."""
        blank = len(self.empty) == len(self.samples)
        few = len(self.learnable) < FEWEST
        return not (self.unreadable or self.cramped or self.long or self.contradictory or self.broken or blank or few)


def inspect(samples: Sequence[Sample], charset: Charset, height: int) -> Inspection:
    """Open every picture and look at every label.

    Args:
        samples: The data set.
        charset: Of the model that will be trained from.
        height: Line height of that model.
    """
    found = Inspection(samples)
    pictures: dict[bytes, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        found.unknown.update(charset.missing(sample.text))
        if not normalise(sample.text):
            found.empty.append(index)
        if any(unicodedata.category(character) == "Cc" for character in normalise(sample.text)):
            found.broken.append(index)
        try:
            picture = sample.open()
            line = prepare(picture, height, sample.name)
        except ImageError as error:
            found.unreadable.append(str(error))
            continue
        found.heights.append(picture.shape[0])
        content = repr(picture.shape).encode() + picture.tobytes()
        pictures[hashlib.blake2b(content, digest_size=16).digest()].append(index)
        if frames_needed(sample.text, charset) > -(-line.shape[1] // STRIDE):
            found.cramped.append(index)
        elif line.shape[1] > MAX_WIDTH:
            found.long.append(index)
        else:
            found.usable.append(index)
    found.duplicates = [group for group in pictures.values() if len(group) > 1]
    found.contradictory = [g for g in found.duplicates if len({normalise(samples[i].text) for i in g}) > 1]
    return found


def frames_needed(text: str, charset: Charset) -> int:
    """CTC frames that spelling a text takes: one an id, and one between equal neighbours."""
    known = charset.extend(normalise(text))
    ids = known.encode(text)
    return len(ids) + sum(a == b for a, b in pairwise(ids))


def split(samples: Sequence[Sample], share: float = _HELD_OUT, fewest: int = 3) -> tuple[list[int], list[int]]:
    """Indices for training and for validation; the choice depends on names alone.

    No document is in both, unless whole documents cannot give about the share: where one has nearly all lines, or
    there are fewer documents than `fewest`, lines are divided.
    """
    wanted = max(1, round(share * len(samples)))
    documents = _documents(samples, fewest)
    for most in (2 * wanted, len(samples) // 2):
        held = _some(documents, wanted, most)
        if 2 * len(held) >= wanted:
            break
    else:
        held = _some(_by(samples, lambda sample: sample.name), wanted, len(samples))
    kept = set(held)
    return [index for index in range(len(samples)) if index not in kept], sorted(held)


def _some(documents: list[list[int]], wanted: int, most: int) -> list[int]:
    """Indices of documents, until there are as many as wanted; those are passed over with which there would be more
    than `most`."""
    held: list[int] = []
    for document in documents:
        if len(held) < wanted and len(held) + len(document) <= most:
            held += document
    return held


def folds(samples: Sequence[Sample], count: int) -> list[list[int]]:
    """Indices in at most so many parts of about equal size; what shares a document shares a part, by names alone."""
    parts: list[list[int]] = [[] for _ in range(count)]
    for document in sorted(_documents(samples), key=len, reverse=True):
        min(parts, key=len).extend(document)
    return [part for part in parts if part]


def divides_documents(samples: Sequence[Sample], parts: Iterable[Sequence[int]]) -> bool:
    """Whether lines of one document are in several of the parts, as where there are too few documents."""
    seen = Counter(name for part in parts for name in {samples[index].document for index in part})
    return any(count > 1 for count in seen.values())


def evenly(samples: Sequence[Sample], most: int) -> list[Sample]:
    """At most so many samples, from all over."""
    count = min(most, len(samples))
    return [samples[index * len(samples) // count] for index in range(count)]


def _documents(samples: Sequence[Sample], fewest: int = 3) -> list[list[int]]:
    """Indices of each document's lines, in an order that tells nothing about them; of fewer documents, lines alone."""
    documents = _by(samples, lambda sample: sample.document)
    # one book or one shop: lines are all there is to divide
    return documents if len(documents) >= fewest else _by(samples, lambda sample: sample.name)


def _by(samples: Sequence[Sample], name_of: Callable[[Sample], str]) -> list[list[int]]:
    """Indices of samples by what they have in common, in an order that tells nothing about them."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, sample in enumerate(samples):
        groups[name_of(sample)].append(index)
    return [groups[name] for name in sorted(groups, key=_lot)]


def _lot(name: str) -> bytes:
    """What decides the order of documents: the end of their names, so that it is the same wherever the data lie."""
    return hashlib.blake2b("/".join(Path(name).absolute().parts[-2:]).encode("utf-8", "replace")).digest()


def summary(found: Inspection) -> list[str]:
    """The findings as lines of text."""
    samples = found.samples
    lengths = [len(normalise(sample.text)) for sample in samples]
    documents = len({sample.document for sample in samples})
    unknown = ", ".join(f"{c!r} U+{ord(c):04X} ({n})" for c, n in found.unknown.most_common(40))
    repeated, contrary = len(found.duplicates), len(found.contradictory)
    return [
        f"{len(samples):,} lines of {documents:,} documents, {sum(lengths):,} characters",
        f"empty labels: {len(found.empty)}, with control characters: {len(found.broken)}",
        *_named(found, found.broken),
        f"label length: {_spread(lengths)} characters",
        f"picture height: {_spread(found.heights)} pixels",
        _suggestion(found),
        f"characters that the model lacks (training adds them): {unknown or 'none'}",
        f"unreadable pictures: {len(found.unreadable)}",
        *_first(found.unreadable),
        f"labels too long for their picture: {len(found.cramped)}",
        *_named(found, found.cramped),
        f"lines too long to learn from (cut them in two): {len(found.long)}",
        *_named(found, found.long),
        f"pictures that occur more than once (learnt from once): {repeated}, with different labels: {contrary}",
        *(f"  {labels_of(samples, group)}" for group in found.contradictory[:5]),
    ]


def _suggestion(found: Inspection) -> str:
    """How training would divide what it learns from."""
    samples = [found.samples[index] for index in found.learnable]
    if len(samples) < FEWEST:
        return f"lines that can be learnt from: {len(samples)}, too few for training, which needs {FEWEST}"
    training, held = split(samples)
    manner = "line, as documents are few or unequal" if divides_documents(samples, (training, held)) else "document"
    return f"suggested split by {manner}: {len(training):,} to train, {len(held):,} to validate"


def _named(found: Inspection, indices: Sequence[int]) -> list[str]:
    """The first of some samples with their labels."""
    return _first([f"{found.samples[i].name}: {found.samples[i].text[:60]!r}" for i in indices])


def _first(sentences: Sequence[str]) -> list[str]:
    """The first of some findings, and how many more there are."""
    more = [f"  and {len(sentences) - _NAMED} more"] if len(sentences) > _NAMED else []
    return [*(f"  {sentence}" for sentence in sentences[:_NAMED]), *more]


def labels_of(samples: Sequence[Sample], group: Sequence[int]) -> str:
    """Names and labels of the first three of some samples."""
    return ", ".join(f"{samples[index].name}: {samples[index].text!r}" for index in group[:3])


def _spread(values: Sequence[int]) -> str:
    if not len(values):
        return "none"
    low, median, high = (int(v) for v in np.quantile(values, [0.0, 0.5, 1.0]))
    tenth, ninetieth = (int(v) for v in np.quantile(values, [0.1, 0.9]))
    return f"{low} least, {tenth} tenth, {median} median, {ninetieth} ninetieth, {high} most"
