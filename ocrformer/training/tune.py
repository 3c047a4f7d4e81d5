"""Fine-tuning from task to proof."""

from __future__ import annotations

from collections.abc import Iterator

from ocrformer.model.network import load
from ocrformer.reader import OCRformer, weights_path
from ocrformer.training.finetune import Recipe, train
from ocrformer.training.material import Material, Task, gather
from ocrformer.training.proof import preview, prove

_OWN_LINES = 2000  # what own fonts or texts count as, in labelled lines


def tune(task: Task) -> Iterator[str]:
    """Gather, preview, train and prove; gives what there is to say as it happens."""
    material = gather(task)
    yield from _announce(material)
    task.output.mkdir(parents=True, exist_ok=True)
    if material.own:
        preview(material.bundle, material.own, task.output)
        yield f"preview of own lines: {task.output / 'preview.png'}"
    recipe = Recipe.by_size(len(material.training) or _OWN_LINES, task.steps)
    yield f"training at most {recipe.steps} steps, {100 * recipe.replay:.0f} % of them replayed lines"
    best = train(task, material, recipe)
    before = OCRformer(load(weights_path(task.init)))
    yield from prove(material, before, OCRformer.from_pretrained(best, "cpu"), task.output)
    yield f"model: {best}; report: {task.output / 'report.html'}"


def _announce(material: Material) -> Iterator[str]:
    if material.inspection:
        yield f"{len(material.training)} lines to learn from, {len(material.held_out)} held out"
    for face in material.own_faces:
        yield f"font {face.family} ({face.path}): {len(face.characters)} characters" + (
            f", {len(face.syllables):,} Hangul syllables" if face.syllables else ""
        )
