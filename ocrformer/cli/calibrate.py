"""`ocrformer calibrate`: make confidences mean what they say."""

from __future__ import annotations

from pathlib import Path

import click

from ocrformer.cli.extras import need, plainly


@click.command()
@click.option("--data", "places", multiple=True, required=True, metavar="PATH", help="Labelled lines; can be repeated.")
@click.option("--model", default="default", show_default=True, metavar="FILE", help="Weights to calibrate.")
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False), help="Weights file to write.")
@plainly()
def calibrate(places: tuple[str, ...], model: str, output: str) -> None:
    """Fit the temperature of confidences on labelled lines that the model was not trained on.

    Half of the documents are used for fitting, the other half to say how well it went. Only confidences change. The
    weights file also notes the character error rate on each of the sets, which `GET /model` tells.
    """
    need("rapidfuzz", "train")
    from ocrformer.calibration import calibrated, calibration_of, fit_temperature
    from ocrformer.config import DecodeOptions
    from ocrformer.datasets import load_samples
    from ocrformer.evaluation import characters_of, error_rates, evaluate
    from ocrformer.inspection import split
    from ocrformer.journal import make_ready
    from ocrformer.model.network import save
    from ocrformer.reader import OCRformer

    make_ready(output)
    sets = {Path(place).name: load_samples(place) for place in places}
    reader = OCRformer.from_pretrained(model)
    done = evaluate(reader, "calibration", [s for samples in sets.values() for s in samples], DecodeOptions())
    for failure in done.failures:
        click.echo(f"ocrformer: {failure}", err=True)
    right = [bool(edits == 0) for edits in done.distances()[0]]
    sure = [line.confidence for line in done.lines]
    fitting, rest = split(done.samples, 0.5)
    present = reader.temperature
    try:
        fitted = fit_temperature([sure[i] for i in fitting], [right[i] for i in fitting], present)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    save(output, calibrated(reader.bundle, fitted, error_rates(done, sets)))
    others = [sure[i] for i in rest], [right[i] for i in rest]
    before, after = (calibration_of(*others, ratio) for ratio in (1.0, fitted / present))
    characters = calibration_of(*characters_of(done, rest), fitted / present)
    click.echo(
        f"{output}: temperature {present:.3f} -> {fitted:.3f}, fitted on {len(fitting)} lines; "
        f"calibration error on {len(rest)} others {100 * before.error:.1f} % -> {100 * after.error:.1f} % "
        f"(perfect confidences would show {100 * after.chance:.1f} %), of their characters "
        f"{100 * characters.error:.2f} %"
    )
