"""A model read against labels: every figure, with what it rests on, as plain values for JSON and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ocrformer import metrics
from ocrformer.config import DecodeOptions
from ocrformer.datasets import Sample
from ocrformer.image import ImageError, Pixels, prepare
from ocrformer.line import Line
from ocrformer.reader import OCRformer

_LENGTHS = ((0, 10), (11, 25), (26, 50), (51, 100), (101, 10_000))
_WORST = 60


@dataclass(frozen=True)
class Evaluation:
    """One model on one data set.

    Attributes:
        model: Name of the weights.
        data: Name of the data set.
        samples: Those that could be opened.
        lines: What was read, in their order.
        pictures: Prepared lines.
        failures: Sentences about pictures that could not be opened.
    """

    model: str
    data: str
    samples: list[Sample]
    lines: list[Line]
    pictures: list[Pixels]
    failures: list[str]

    @property
    def references(self) -> list[str]:
        """True texts."""
        return [sample.text for sample in self.samples]

    @property
    def predictions(self) -> list[str]:
        """Read texts."""
        return [line.text for line in self.lines]

    def distances(self) -> tuple[metrics.Floats, metrics.Floats]:
        """Edit distances and reference lengths of folded texts."""
        return metrics.distances(list(map(metrics.fold, self.references)), list(map(metrics.fold, self.predictions)))


def evaluate(reader: OCRformer, data: str, samples: Sequence[Sample], options: DecodeOptions) -> Evaluation:
    """Read all samples and keep what is needed for every figure."""
    opened: list[tuple[Sample, Pixels]] = []
    failures: list[str] = []
    for sample in samples:
        try:
            opened.append((sample, prepare(sample.open(), reader.network.config.height, sample.name)))
        except ImageError as error:
            failures.append(str(error))
    lines = reader.read_prepared([picture for _, picture in opened], options)
    return Evaluation(reader.name, data, [s for s, _ in opened], lines, [p for _, p in opened], failures)


def report(evaluation: Evaluation) -> dict[str, Any]:
    """All figures of an evaluation."""
    references, predictions = evaluation.references, evaluation.predictions
    edits, lengths = evaluation.distances()
    right = [bool(d == 0) for d in edits]
    confidences = [line.confidence for line in evaluation.lines]
    bare = [metrics.without_spaces(text) for text in references], [metrics.without_spaces(text) for text in predictions]
    characters = characters_of(evaluation)
    return {
        "model": evaluation.model,
        "data": evaluation.data,
        "failures": evaluation.failures,
        "folded": asdict(metrics.score(references, predictions)),
        "interval": metrics.bootstrap(edits, lengths),
        "as_labelled": asdict(metrics.score(references, predictions, folded=False)),
        "without_spaces": asdict(metrics.score(*bare, folded=False)),
        "by_length": _by_length(edits, lengths),
        "statuses": {s: sum(line.status == s for line in evaluation.lines) for s in ("ok", "empty", "suspect")},
        "confusions": _confusions(references, predictions),
        "lines": asdict(metrics.calibrate(confidences, right)),
        "characters": asdict(metrics.calibrate(*characters)),
    }


def _by_length(edits: metrics.Floats, lengths: metrics.Floats) -> list[dict[str, Any]]:
    table = []
    for low, high in _LENGTHS:
        inside = (lengths >= low) & (lengths <= high)
        if inside.any():
            total = float(lengths[inside].sum())
            rate = float(edits[inside].sum()) / total if total else None  # of no characters there is no share
            name = f"{low}-{high}" if high < _LENGTHS[-1][1] else f"> {low - 1}"
            exact = float((edits[inside] == 0).mean())
            table.append({"characters": name, "lines": int(inside.sum()), "cer": rate, "exact": exact})
    return table


def _confusions(references: Sequence[str], predictions: Sequence[str], most: int = 40) -> list[dict[str, Any]]:
    counts = metrics.confusions(list(map(metrics.fold, references)), list(map(metrics.fold, predictions)))
    return [{"true": true, "read": read, "times": times} for (true, read), times in counts.most_common(most)]


def characters_of(evaluation: Evaluation, indices: Iterable[int] | None = None) -> tuple[list[float], list[bool]]:
    """Confidence and correctness of every written character of all lines, or of some."""
    confidences: list[float] = []
    right: list[bool] = []
    for index in range(len(evaluation.lines)) if indices is None else indices:
        sample, line = evaluation.samples[index], evaluation.lines[index]
        confidences += [c.confidence for c in line.characters]
        right += metrics.correct_characters(sample.text, [c.text for c in line.characters]).tolist()
    return confidences, right


def error_rates(evaluation: Evaluation, sets: Mapping[str, Sequence[Sample]]) -> dict[str, float]:
    """Character error rate on each of the sets of samples that were evaluated together, and of which any was read."""
    edits, lengths = evaluation.distances()
    rates = {}
    for name, samples in sets.items():
        of_set = {sample.identity for sample in samples}
        inside = np.array([sample.identity in of_set for sample in evaluation.samples])
        if inside.any():
            rates[name] = float(edits[inside].sum() / max(1.0, lengths[inside].sum()))
    return rates


def worst(evaluation: Evaluation, most: int = _WORST) -> list[int]:
    """Indices of the lines with most errors."""
    edits, _ = evaluation.distances()
    order = np.argsort(-edits, kind="stable")
    return [int(i) for i in order[:most] if edits[i]]


def compared(first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """Paired comparison of two models on the same data."""
    edits, lengths = first.distances()
    others, _ = second.distances()
    return {"data": first.data, "first": first.model, "second": second.model} | asdict(
        metrics.compare(edits, others, lengths)
    )
