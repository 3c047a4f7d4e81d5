"""`ocrformer data`: look at labelled lines before training with them, or make them worse to measure with."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click

from ocrformer.cli.extras import apart, here, need, plainly, spare, unoccupied

_SHOWN = 120  # lines on the contact sheet


@click.group()
def data() -> None:
    """Look at labelled lines before training with them, or make them worse to measure with."""


@data.command()
@click.argument("path")
@click.option(
    "--model", default="default", show_default=True, metavar="FILE", help="Weights that will be trained from."
)
@click.option("--sheet", metavar="FILE", help="Write a contact sheet (PNG).")
@click.option("--overwrite", is_flag=True, help="Replace the contact sheet.")
@plainly()
def check(path: str, model: str, sheet: str | None, overwrite: bool) -> None:
    """Say what is in a data set and what is wrong with it.

    PATH is a folder with labels.tsv, .csv or .jsonl, a Hugging Face imagefolder, .gt.txt pairs, an STR LMDB, PAGE or
    ALTO files with their page pictures, or one such file (a JSON array too). Exit status: 0 sound, 1 something to mend,
    2 wrong use.
    """
    if sheet:
        need("rapidfuzz", "train")
    from ocrformer.datasets import load_samples
    from ocrformer.inspection import evenly, inspect, summary
    from ocrformer.model.network import load
    from ocrformer.output_files import put
    from ocrformer.reader import weights_path

    if sheet:
        apart(sheet, path)
        unoccupied(sheet, overwrite=overwrite)
        if not sheet.lower().endswith(".png"):
            raise click.UsageError(f"{sheet}: the contact sheet is a PNG; name it so")
    samples = load_samples(path)
    if sheet:
        spare(sheet, samples)
    bundle = load(weights_path(model))
    found = inspect(samples, bundle.charset, bundle.network.config.height)
    for line in summary(found):
        click.echo(line)
    if sheet and not found.usable:
        click.echo(f"{sheet}: not written, as no line could be shown", err=True)
    elif sheet:
        from ocrformer.training.sheet import sheet_of

        shown = evenly([samples[index] for index in found.usable], _SHOWN)
        buffer = io.BytesIO()
        sheet_of(shown, bundle.network.config.height).save(buffer, "PNG")
        put(sheet, buffer.getvalue())
    sys.exit(0 if found.sound else 1)


@data.command()
@click.argument("path")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Gets one folder of labelled lines per condition.",
)
@click.option("--lines", type=click.IntRange(1), default=100, show_default=True, help="How many, spread over PATH's.")
@plainly()
def distort(path: str, output: str, lines: int) -> None:
    """Write labelled lines as a worse camera, scanner or cut would have given them.

    In shadow, tilted, bowed, blurred, faxed and so on, each at one strength. What `evaluate` or `bench` then say of
    the folders tells what a model bears, and what is the matter with lines that it reads badly. Exit status: 0 all
    pictures were written, 1 some could not be read, 2 wrong use.
    """
    need("cv2", "train")
    from ocrformer.training.conditions import distort as written

    failures: list[str] = []
    try:
        for name, number in written(path, Path(here(output)), lines, failures):
            click.echo(f"{name}: {number} lines")
    except BrokenPipeError:  # nobody listens any more
        raise
    except OSError as error:
        raise click.UsageError(f"cannot write {error.filename or output} ({error.strerror or error})") from None
    for failure in failures:
        click.echo(f"ocrformer: {failure}", err=True)
    sys.exit(1 if failures else 0)
