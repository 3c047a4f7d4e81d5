"""Figures of evaluations as one HTML page, with plots and the worst lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

from ocrformer.charset import normalise
from ocrformer.display import picture_url
from ocrformer.evaluation import Evaluation, worst
from ocrformer.metrics import folded_letters
from ocrformer.pages import fill


def evaluation_page(done: Sequence[Evaluation], figures: dict[str, Any]) -> str:
    """Figures with plots, and the worst lines with their differences marked.

    Args:
        done: Evaluations, in the order of their reports.
        figures: `reports` and `comparisons`, as written to JSON; after fine-tuning `fonts` and `new_characters` too.
    """
    return fill("evaluation.html", figures | {"worst": [_worst(evaluation) for evaluation in done]})


def _worst(evaluation: Evaluation) -> list[dict[str, Any]]:
    rows = []
    edits, _ = evaluation.distances()
    for index in worst(evaluation):
        truth, line = normalise(evaluation.samples[index].text), evaluation.lines[index]
        parts = list(_differences(truth, line.text))
        facts = {"errors": int(edits[index]), "confidence": line.confidence, "status": line.status}
        picture = picture_url(evaluation.pictures[index])
        rows.append({"name": evaluation.samples[index].name, "image": picture, "parts": parts} | facts)
    return rows


def _differences(truth: str, text: str) -> Iterator[tuple[str, str, str]]:
    """Parts of a label and of what was read in its place, and how they differ: `equal` where that is no error."""
    (one, ours), (other, theirs) = folded_letters(truth), folded_letters(text)
    labelled = read = 0  # characters that were told of
    for edit in Levenshtein.opcodes(one, other):
        before = labelled, read
        labelled = _until(ours, edit.src_start, edit.src_end, labelled, edit.tag)
        read = _until(theirs, edit.dest_start, edit.dest_end, read, edit.tag)
        if before != (labelled, read):
            yield edit.tag, truth[before[0] : labelled], text[before[1] : read]


def _until(owners: Sequence[set[int]], start: int, stop: int, done: int, tag: str) -> int:
    """Up to which character letters reach; one that is right in part alone belongs to what is wrong behind it."""
    if start == stop:
        return done
    last = max(map(max, owners[start:stop])) + 1
    if tag == "equal" and stop < len(owners):
        last = min(last, min(owners[stop]))
    return max(done, last)
