"""Fine-tuning from task to proof."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ocrformer.datasets import DatasetError
from ocrformer.reader import OCRformer
from ocrformer.training.finetune import MODEL, Recipe, train
from ocrformer.training.fonts import coverage
from ocrformer.training.interpolation import SHARE
from ocrformer.training.material import Material, Task, gather
from ocrformer.training.proof import FIGURES, PAGE, PREVIEW, preview, prove


def tune(task: Task) -> Iterator[str]:
    """Gather, preview, train and prove; gives what there is to say as it happens.

    Raises:
        FileExistsError: If the output folder holds a model or report that must not be replaced.
        DatasetError: And others that `gather` raises.
    """
    written = [task.output / name for name in (MODEL, PREVIEW, FIGURES, PAGE)]
    for path in written:
        if path.exists() and not task.overwrite:
            raise FileExistsError(f"{path} exists: name another folder with -o, or use --overwrite")
    material = gather(task)
    _keep_apart(written, material)
    yield from _announce(material)
    task.output.mkdir(parents=True, exist_ok=True)
    if material.own:
        preview(material.bundle, material.own, task.output)
        yield f"preview of own lines: {task.output / PREVIEW}"
    labelled = len(material.training)
    recipe = Recipe.by_size(labelled, task.steps) if labelled else Recipe.for_drawn(task.steps)
    yield f"training at most {recipe.steps} steps, {100 * recipe.replay:.0f} % of them replayed lines"
    best = train(task, material, recipe)
    after = OCRformer.from_pretrained(best, "cpu")
    if after.bundle.details["steps"] == "0":
        yield "no step read the lines to steer by better than before: the model is the one that it began with"
    elif (share := float(after.bundle.details[SHARE])) < 1:
        yield f"{100 * share:.0f} % of what was learnt is kept: new lines suffer little from that, old ones gain"
    yield from prove(material, OCRformer(material.before), after, task.output)
    yield f"model: {best}; report: {task.output / PAGE}"


def _keep_apart(written: list[Path], material: Material) -> None:
    """Refuse to write over what is learnt from."""
    samples = [*material.training, *material.steering, *material.held_out]
    read = {os.path.realpath(sample.document) for sample in samples} | {os.path.realpath(s.name) for s in samples}
    for path in written:
        if os.path.realpath(path) in read:
            raise DatasetError(f"{path}: would replace a labelled picture; name another folder with -o")


def _announce(material: Material) -> Iterator[str]:
    if material.training:
        yield (
            f"{len(material.training)} lines to learn from, {len(material.steering)} to steer by, "
            f"{len(material.held_out)} held out for the report"
        )
    for face in material.own_faces:
        yield f"font {coverage(face)}"
