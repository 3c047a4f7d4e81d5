"""Figures of evaluations as one HTML page, with plots and the worst lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rapidfuzz.distance import Levenshtein

from ocrformer.charset import normalise
from ocrformer.display import picture_url
from ocrformer.evaluation import Evaluation, worst
from ocrformer.pages import fill


def evaluation_page(done: Sequence[Evaluation], figures: dict[str, Any]) -> str:
    """Figures with plots, and the worst lines with their differences marked.

    Args:
        done: Evaluations, in the order of their reports.
        figures: `reports` and `comparisons`, as written to JSON.
    """
    return fill("evaluation.html", figures | {"worst": [_worst(evaluation) for evaluation in done]})


def _worst(evaluation: Evaluation) -> list[dict[str, Any]]:
    rows = []
    edits, _ = evaluation.distances()
    for index in worst(evaluation):
        truth, line = normalise(evaluation.samples[index].text), evaluation.lines[index]
        parts = [(o.tag, truth[o.src_start : o.src_end], line.text[o.dest_start : o.dest_end])
                 for o in Levenshtein.opcodes(truth, line.text)]  # fmt: skip
        facts = {"errors": int(edits[index]), "confidence": line.confidence, "status": line.status}
        picture = picture_url(evaluation.pictures[index])
        rows.append({"name": evaluation.samples[index].name, "image": picture, "parts": parts} | facts)
    return rows
