"""`ocrformer calibrate`: make confidences mean what they say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ocrformer.cli.extras import apart, called, here, need, plainly, spare, unoccupied

if TYPE_CHECKING:
    from ocrformer.evaluation import Evaluation

_FEWEST = 50  # lines; a temperature fitted on fewer is chance
_FOLDS = 5  # parts of the documents; each is judged at a temperature fitted on the others


@click.command()
@click.option("--data", "places", multiple=True, required=True, metavar="PATH", help="Labelled lines; can be repeated.")
@click.option("--model", default="default", show_default=True, metavar="FILE", help="Weights to calibrate.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="Weights file to write.")
@click.option("--overwrite", is_flag=True, help="Replace the output file.")
@plainly()
def calibrate(places: tuple[str, ...], model: str, output: str, overwrite: bool) -> None:
    """Fit the temperature of confidences on 50 or more labelled lines that the model was not trained on.

    How well it went is told by lines that are each judged at a temperature fitted on other documents. Only confidences
    change. The weights file also notes the character error rate on each of the sets, which `GET /model` tells. Exit
    status: 0 all pictures were read, 1 some could not be, 2 wrong use or nothing to calibrate with.
    """
    need("rapidfuzz", "train")
    from ocrformer.calibration import calibrated, fit_temperature
    from ocrformer.config import DecodeOptions
    from ocrformer.datasets import load_samples
    from ocrformer.evaluation import error_rates, evaluate
    from ocrformer.model.network import save
    from ocrformer.reader import OCRformer, weights_path

    apart(here(output), str(weights_path(model)), *places)
    unoccupied(output, overwrite=overwrite)
    sets = {called(place, places): load_samples(place) for place in places}
    for samples in sets.values():
        spare(output, samples)
    reader = OCRformer.from_pretrained(model)
    lines = {s.identity: s for samples in sets.values() for s in samples}  # each once, in however many sets
    done = evaluate(reader, "calibration", list(lines.values()), DecodeOptions())
    for failure in done.failures:
        click.echo(f"ocrformer: {failure}", err=True)
    right = [bool(edits == 0) for edits in done.distances()[0]]
    sure = [line.confidence for line in done.lines]
    if len(sure) < _FEWEST:
        raise click.UsageError(f"calibration needs {_FEWEST} labelled lines or more, found {len(sure)}")
    fitted = fit_temperature(sure, right, reader.temperature)
    save(output, calibrated(reader.bundle, fitted, error_rates(done, sets)))
    click.echo(f"{output}: temperature {reader.temperature:.3f} -> {fitted:.3f}, fitted on {len(sure)} lines")
    click.echo(_worth(done, sure, right, reader.temperature))
    if done.failures:
        sys.exit(1)


def _worth(done: Evaluation, sure: list[float], right: list[bool], present: float) -> str:
    """A sentence on confidences at temperatures that the lines they are given to did not help to fit."""
    from ocrformer.calibration import CalibrationError, calibration_of, cross_fitted
    from ocrformer.evaluation import characters_of
    from ocrformer.inspection import divides_documents, folds

    parts = folds(done.samples, _FOLDS)
    others = "other lines of the same documents" if divides_documents(done.samples, parts) else "other documents"
    lines = [([sure[i] for i in part], [right[i] for i in part]) for part in parts]
    try:
        ratios = [temperature / present for temperature in cross_fitted(lines, present)]
    except CalibrationError:
        return "how well it went cannot be told: there are too few documents with errors"
    before, after = calibration_of([(sure, right)], [1.0]), calibration_of(lines, ratios)
    characters = calibration_of([characters_of(done, part) for part in parts], ratios)
    return (
        f"calibration error {100 * before.error:.1f} % -> {100 * after.error:.1f} % at temperatures fitted on {others} "
        f"(perfect confidences would show {100 * after.chance:.1f} %), of characters "
        f"{100 * characters.error:.2f} %"
    )
