"""What fine-tuning did: figures before and after, on the new lines and on the old, as a table and as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ocrformer import DecodeOptions
from ocrformer.charset import Charset, normalise
from ocrformer.datasets import Sample
from ocrformer.evaluation import Evaluation, compared, evaluate, report
from ocrformer.evaluation_page import evaluation_page
from ocrformer.inspection import evenly
from ocrformer.metrics import confusions, score
from ocrformer.model.network import Bundle
from ocrformer.output_files import put
from ocrformer.reader import OCRformer
from ocrformer.training.lines import LineFactory, Voice
from ocrformer.training.material import Material, drawn
from ocrformer.training.sheet import sheet_of

PREVIEW, FIGURES, PAGE = "preview.png", "report.json", "report.html"
"""What a fine-tuning leaves beside its model."""

_TESTED = 600  # lines per set
_PER_FONT = 25  # lines per font, at least


def prove(material: Material, before: OCRformer, after: OCRformer, output: Path) -> list[str]:
    """Measure both models, write `FIGURES` and `PAGE`, and say the result in a few lines.

    Args:
        material: The task's lines.
        before: The model that training began with.
        after: The model that it gave.
        output: Folder for the report.
    """
    before.name, after.name = "before", "after"
    sets = {
        "new lines": evenly(material.held_out, _TESTED),
        "own lines": drawn(material.own, _TESTED, "own") if material.own else [],
        "old lines": drawn(material.replay, _TESTED, "general"),
    }
    sets = {name: samples for name, samples in sets.items() if samples}
    pairs = [[evaluate(r, name, s, DecodeOptions()) for r in (before, after)] for name, s in sets.items()]
    done = [evaluation for pair in pairs for evaluation in pair]
    figures: dict[str, Any] = {
        "reports": [report(evaluation) for evaluation in done],
        "comparisons": [compared(*pair) for pair in pairs],
        "fonts": _fonts(material, before, after),
        "new_characters": _characters(pairs[:-1], before.charset),
    }
    put(str(output / FIGURES), json.dumps(figures, ensure_ascii=False, indent=1) + "\n")
    put(str(output / PAGE), evaluation_page(done, figures))
    return _lines(pairs, figures)


def _lines(pairs: list[list[Evaluation]], figures: dict[str, Any]) -> list[str]:
    said = []
    for first, second in pairs:
        one, two = score(first.references, first.predictions), score(second.references, second.predictions)
        changes = [("CER", one.cer, two.cer), ("exact lines", one.exact, two.exact), ("word F1", one.f1, two.f1)]
        figures_said = ", ".join(f"{name} {100 * a:.2f} -> {100 * b:.2f} %" for name, a, b in changes)
        said.append(f"{first.data} ({one.lines}): {figures_said}")
    fonts = [
        f"font {f['name']}: CER {100 * f['clean_before']:.2f} -> {100 * f['clean_after']:.2f} % of clean lines, "
        f"{100 * f['before']:.2f} -> {100 * f['after']:.2f} % of worn ones"
        for f in figures["fonts"]
    ]
    new = figures["new_characters"].items()
    return said + fonts + [f"new character {character}: {right} of {total} right" for character, (right, total) in new]


def _fonts(material: Material, before: OCRformer, after: OCRformer) -> list[dict[str, Any]]:
    """Error on each of the user's fonts: of clean print, and of lines as training draws them, some beyond reading."""
    if material.own is None or not material.own_faces:
        return []
    source, _ = material.own.voices[0]
    rows = []
    for face in material.own_faces:
        name = f"{face.family} ({Path(face.path).name})"
        row: dict[str, Any] = {"name": name}
        for kind in ("", "clean_"):
            factory = LineFactory([Voice(1.0, source, [face])], material.own.height, clean=bool(kind))
            samples = drawn(factory, max(_PER_FONT, _TESTED // 2 // len(material.own_faces)), name)
            row |= {f"{kind}before": _error(before, samples), f"{kind}after": _error(after, samples)}
        rows.append(row)
    return rows


def _error(reader: OCRformer, samples: list[Sample]) -> float:
    done = evaluate(reader, "", samples, DecodeOptions())
    return score(done.references, done.predictions).cer


def _characters(pairs: list[list[Evaluation]], known: Charset) -> dict[str, tuple[int, int]]:
    """For each character that the model did not have before: how many are read right, and how many there were."""
    references = [normalise(text) for _, after in pairs for text in after.references]
    predictions = [normalise(text) for _, after in pairs for text in after.predictions]
    new = sorted({c for text in references for c in known.missing(text)})
    total = {c: sum(text.count(c) for text in references) for c in new}
    wrong = confusions(references, predictions)
    missed = {c: sum(times for (true, _), times in wrong.items() if true == c) for c in new}
    return {c: (total[c] - missed[c], total[c]) for c in new}


def preview(bundle: Bundle, factory: LineFactory, output: Path, most: int = 60) -> None:
    """Write `PREVIEW`: lines as training will see them, to look at before it begins."""
    sheet_of(drawn(factory, most, "preview"), bundle.network.config.height).save(output / PREVIEW)
