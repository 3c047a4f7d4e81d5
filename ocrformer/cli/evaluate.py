"""`ocrformer evaluate`: models against labelled lines."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocrformer.cli.extras import apart, called, distinct, labelled, need, plainly, spare, unoccupied
from ocrformer.config import MODES, DecodeOptions

if TYPE_CHECKING:
    from ocrformer.evaluation import Evaluation

_JSON, _HTML = ".json .jsonl .txt", ".html .htm"  # endings of files that may be replaced


@click.command()
@click.option("--data", "places", multiple=True, required=True, metavar="PATH", help="Labelled lines; can be repeated.")
@click.option("--model", "models", multiple=True, metavar="FILE", help="Weights; two or more are compared. [default]")
@click.option("--mode", type=click.Choice(MODES), default=DecodeOptions.mode, show_default=True, help="How to decode.")
@click.option("--device", help="cpu, cuda, ... [a GPU if there is one]")
@click.option(
    "--runtime", default="auto", show_default=True, help="torch, float32, onnx or an ONNX file runs the encoder."
)
@click.option("--json", "as_json", metavar="FILE", help="Write all figures as JSON (- for standard output).")
@click.option("--html", metavar="FILE", help="Write a self-contained page with plots and the worst lines.")
@plainly()
def evaluate(
    places: tuple[str, ...],
    models: tuple[str, ...],
    mode: str,
    device: str | None,
    runtime: str,
    as_json: str | None,
    html: str | None,
) -> None:
    """Measure models on labelled lines: CER, WER, exact lines, word F1, confusions, calibration.

    PATH is a folder or file in any of the formats that `ocrformer data check` knows. Exit status: 0 all pictures were
    read, 1 some could not be, 2 wrong use.
    """
    if html == "-":
        raise click.UsageError("--html needs the name of a file")
    distinct([target for target in (as_json, html) if target])
    need("rapidfuzz", "train")
    from ocrformer import evaluation
    from ocrformer.datasets import load_samples
    from ocrformer.evaluation_page import evaluation_page
    from ocrformer.output_files import put
    from ocrformer.reader import OCRformer, weights_path

    targets = {target: like for target, like in ((as_json, _JSON), (html, _HTML)) if target and target != "-"}
    _ready(targets, [*places, *(str(weights_path(model)) for model in models or ("default",)), runtime])
    data = [(called(place, places), load_samples(place)) for place in places]
    for name, samples in data:
        labelled(name, samples)
        for target in targets:
            spare(target, samples)
    readers = [OCRformer.from_pretrained(model, device, runtime) for model in models or ("default",)]
    for reader, name in zip(readers, _names([reader.name for reader in readers], models), strict=True):
        reader.name = name
    options = DecodeOptions(mode=mode)
    done = [evaluation.evaluate(reader, name, samples, options) for name, samples in data for reader in readers]
    empty = {one.data: one.failures[0] for one in done if not one.lines}
    for name, failure in empty.items():
        click.echo(f"ocrformer: {name}: none of its pictures could be read: {failure}", err=True)
    done = [one for one in done if one.data not in empty]  # with each model, so that they stay in pairs
    if not done:
        sys.exit(1)
    results = [evaluation.report(one) for one in done]
    pairs = _pairs(done, len(readers))
    comparisons = [evaluation.compared(first, second) for first, second in pairs]
    figures = {"reports": results, "comparisons": comparisons}
    written = json.dumps(figures, ensure_ascii=False, indent=1) + "\n"
    if as_json and as_json != "-":
        put(as_json, written)
    if html:
        put(html, evaluation_page(done, figures))
    if as_json == "-":
        click.echo(written.encode("utf-8", "backslashreplace"), nl=False)  # whatever the locale and the names of files
    else:
        _print(results, comparisons)
    if empty or any(one.failures for one in done):
        sys.exit(1)


def _ready(targets: Mapping[str, str], inputs: Sequence[str]) -> None:
    """Refuse outputs, by the endings that each may have where it replaces a file, that would replace an input."""
    for target, like in targets.items():
        apart(target, *inputs)
        unoccupied(target, like=like)


def _names(files: list[str], models: Sequence[str]) -> list[str]:
    """Names of models that differ: of their files, or, as fine-tuned ones are all called the same, of their folders."""
    folders = [Path(model).parent.name or model for model in models]
    return next((names for names in (files, folders) if len(set(names)) == len(files)), list(models))


def _pairs(done: list[Evaluation], count: int) -> list[tuple[Evaluation, Evaluation]]:
    """The first model with each other one, on every data set."""
    starts = range(0, len(done), count)
    return [(done[start], done[start + offset]) for start in starts for offset in range(1, count)]


def _print(results: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> None:
    wide = max(len(result["model"]) for result in results)
    click.echo(
        f"{'data':<18} {'model':<{wide}} {'lines':>6} {'CER %':>7} {'95 %':>13} {'exact %':>8} {'WER %':>7} {'F1 %':>6}"
    )
    for result in results:
        folded, (low, high) = result["folded"], result["interval"]
        numbers = f"{100 * folded['cer']:>7.2f} {100 * low:>6.2f}-{100 * high:<6.2f} {100 * folded['exact']:>8.1f}"
        words = f"{100 * folded['wer']:>7.2f} {100 * folded['f1']:>6.1f}"
        click.echo(f"{result['data']:<18} {result['model']:<{wide}} {folded['lines']:>6} {numbers} {words}")
    failures = [failure for result in results for failure in result["failures"]]
    for failure in dict.fromkeys(failures):  # once for all models
        click.echo(f"ocrformer: {failure}", err=True)
    for result in results:
        accepted = [f"from {math.floor(1e6 * at) / 1e6:.6f}: {100 * share:.0f} % of lines at {100 * target:g} % error"
                    for target, at, share in result["lines"]["accept"] if share]  # fmt: skip
        click.echo(f"{result['data']}, {result['model']}: accept " + "; ".join(accepted or ["nothing safely"]))
        of_lines, of_characters = result["lines"], result["characters"]
        click.echo(
            f"{result['data']}, {result['model']}: calibration error {100 * of_lines['error']:.1f} % of lines "
            f"({100 * of_lines['chance']:.1f} % by chance), {100 * of_characters['error']:.2f} % of characters; "
            f"area under risk-coverage {100 * of_lines['area']:.2f} %"
        )
    for one in comparisons:
        interval = f"{100 * one['low']:+.2f} to {100 * one['high']:+.2f}"
        click.echo(
            f"{one['data']}: {one['second']} against {one['first']}: {100 * one['difference']:+.2f} points ({interval})"
        )
