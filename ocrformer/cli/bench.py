"""`ocrformer bench`: speed, accuracy and memory on labelled lines, beside other programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocrformer.cli.extras import apart, called, distinct, here, labelled, need, plainly, unoccupied
from ocrformer.config import MODES, DecodeOptions

if TYPE_CHECKING:
    from ocrformer.benchmark import Rate
    from ocrformer.reader import OCRformer

_TOGETHER = 1024, 64, 1  # lines that are read together where decoders are compared: as folders are, as requests, one


@click.command()
@click.option("--data", "places", multiple=True, required=True, metavar="DIR", help="Labelled lines; can be repeated.")
@click.option("--model", default="default", show_default=True, metavar="FILE", help="Weights to read with.")
@click.option("--modes", default="joint,draft,ctc,greedy", show_default=True, help="Decoding modes to measure.")
@click.option(
    "--runtimes", default="auto", show_default=True, help="torch, float32, onnx or ONNX files, between commas."
)
@click.option("--repeat", type=click.IntRange(1), default=3, show_default=True, help="Repetitions, in turns.")
@click.option("--language", default="eng", show_default=True, help="What Tesseract reads, as its -l.")
@click.option("--lines", type=click.IntRange(1), help="Use the first lines of each folder only.")
@click.option("--threads", type=click.IntRange(1), help="Cores for everyone. [all]")
@click.option("--scaling", metavar="FILE", help="Also plot cost by width and by number, up to 100,000 images (SVG).")
@click.option("--json", "as_json", metavar="FILE", help="Write all figures as JSON.")
@click.option("--markdown", metavar="FILE", help="Write the tables as Markdown.")
@plainly()
def bench(places: tuple[str, ...], model: str, modes: str, runtimes: str, **options: Any) -> None:
    """Measure this program beside Tesseract and RapidOCR, where they are installed, in one run.

    Everyone reads the same image files and uses the same cores; ratios are to the default mode. Install Debian's
    `tesseract-ocr`, or `pip install rapidocr onnxruntime`, to have them measured.
    """
    need("rapidfuzz", "train")
    import torch

    from ocrformer import benchmark, peers
    from ocrformer.reader import OCRformer
    from ocrformer.workers import cores

    unknown = set(modes.split(",")) - set(MODES)
    if unknown:
        raise click.UsageError(f"no such mode: {', '.join(sorted(unknown))}; there are {', '.join(MODES)}")
    threads = options["threads"] or cores()
    torch.set_num_threads(threads)
    if options["scaling"]:
        need("matplotlib", "dev")
        if Path(options["scaling"]).suffix not in (".svg", ".png", ".pdf"):
            raise click.UsageError(f"--scaling draws .svg, .png or .pdf, not {options['scaling']}")
        here(options["scaling"])
    targets = [target for target in (options["as_json"], options["markdown"], options["scaling"]) if target]
    distinct(targets)
    for target in targets:
        apart(target, model, *places)
        unoccupied(target, like=".json .md .txt .svg .png .pdf")
    readers = {name: OCRformer.from_pretrained(model, "cpu", name) for name in runtimes.split(",")}
    folders = {called(place, places): _files(place, options["lines"]) for place in places}
    reader = next(iter(readers.values()))
    contestants = benchmark.own(readers, modes.split(",")) | peers.installed(threads, options["language"])
    tables: dict[str, list[Rate]] = {}
    for name, files in folders.items():
        tables[name] = benchmark.race(contestants, list(files), list(files.values()), options["repeat"])
        click.echo(_table(name, tables[name]))
    shell = ["--model", model, "--threads", str(threads), "--runtime", next(iter(readers))]
    facts: dict[str, Any] = {"threads": threads, "arithmetic": reader.recogniser.arithmetic}
    first = next(iter(folders))
    some = list(folders[first])[:100]
    for rate in tables[first]:
        facts[f"latency_{rate.name}"] = benchmark.latency(contestants[rate.name], some)
    everything = [path for files in folders.values() for path in files]
    facts |= _decoding(reader, everything, modes.split(","))
    facts["start_up"] = benchmark.start_up(some[0], shell)
    facts |= _many(list(folders[first]), shell, _default(tables[first]))
    facts["share_of_peak"], facts["peak"] = benchmark.share_of_peak(reader)
    facts["synthetic"] = _synthetic_rate()
    if options["scaling"]:
        facts |= _scaling(options["scaling"], reader, everything, shell)
    _tell(tables, facts, options["markdown"], options["as_json"])


def _tell(
    tables: Mapping[str, Sequence[Rate]], facts: Mapping[str, Any], markdown: str | None, file: str | None
) -> None:
    """Print what has not been printed yet, and write all of it to files."""
    from ocrformer.output_files import put

    click.echo(_facts(facts))
    if markdown:
        put(markdown, "\n".join([*(_table(name, rates) for name, rates in tables.items()), _facts(facts)]))
    if file:
        folders = {name: [asdict(rate) for rate in rates] for name, rates in tables.items()}
        put(file, json.dumps({"folders": folders} | dict(facts), indent=1) + "\n")


def _decoding(reader: OCRformer, paths: Sequence[Path], modes: Sequence[str]) -> dict[str, Any]:
    """What the decoder costs, lines together and one by one."""
    from ocrformer import benchmark

    found = {str(together): benchmark.decoder_cost(reader, paths, modes, together) for together in _TOGETHER}
    return {
        "decoder": {together: cost for together, (cost, _) in found.items()},
        "different": {together: different for together, (_, different) in found.items()},
    }


def _many(paths: Sequence[Path], shell: Sequence[str], read: Rate) -> dict[str, Any]:
    """`ocrformer read` of a folder against `OCRformer.read` of its images."""
    from ocrformer import scaling

    run = scaling.transcribe(paths, shell)
    return {
        "pipeline": run.rate,
        "first_row": run.first_row,
        "share_of_read": run.rate / read.lines_per_second,
        "peak_memory": run.memory - scaling.torch_memory(),
    }


def _synthetic_rate() -> float | None:
    """None where the system has no fonts."""
    from ocrformer.training.fonts import FontError
    from ocrformer.training.synth import rate

    try:
        return rate()
    except (FontError, FileNotFoundError):
        return None


def _scaling(target: str, reader: OCRformer, paths: Sequence[Path], shell: Sequence[str]) -> dict[str, Any]:
    """Cost by width and by number, drawn and as figures."""
    from ocrformer import scaling
    from ocrformer.image import load, prepare

    lines = [prepare(load(path), reader.network.config.height) for path in paths[:200]]
    costs = {mode: scaling.by_width(reader, lines, mode) for mode in ("ctc", DecodeOptions.mode)}
    runs = [scaling.transcribe(paths, shell, number) for number in scaling.NUMBERS]
    scaling.plot(Path(target), costs, runs)
    return {"by_width": costs, "by_number": [asdict(run) for run in runs]}


def _files(place: str, most: int | None) -> Mapping[Path, str]:
    """Image files of a labelled folder and their texts."""
    from ocrformer.datasets import DatasetError, load_samples

    samples = load_samples(place)[:most]
    labelled(place, samples)
    files: dict[Path, str] = {}
    for sample in samples:
        if files.setdefault(Path(sample.name), sample.text) != sample.text:
            raise DatasetError(f"{sample.name}: has two labels that differ; `ocrformer data check` tells more")
    if not all(path.is_file() for path in files):
        raise DatasetError(f"{place}: measuring needs one image file per line; convert the data with your own tool")
    return files


def _default(rates: Sequence[Rate]) -> Rate:
    """That of the default mode, or of the first measured."""
    return next((rate for rate in rates if rate.name == DecodeOptions.mode), rates[0])


def _table(name: str, rates: Sequence[Rate]) -> str:
    default = _default(rates)
    rows = [
        f"| {rate.name} | {rate.lines_per_second:.0f} ({rate.slowest:.0f}-{rate.fastest:.0f}) "
        f"| {default.lines_per_second / rate.lines_per_second:.2f} | {100 * rate.cer:.2f} | {100 * rate.exact:.1f} |"
        for rate in rates
    ]
    head = f"| {name} | lines/s | {default.name} is faster by | CER % | exact % |\n|---|---|---|---|---|"
    return "\n".join([head, *rows, ""])


def _facts(facts: Mapping[str, Any]) -> str:
    one_line = [
        f"- one line alone, {name.removeprefix('latency_')}: p50 {value[0]:.1f} ms, p95 {value[1]:.1f} ms"
        f"{', each in a process that starts for it' if 'tesseract' in name else ''}"
        for name, value in facts.items()
        if name.startswith("latency_")
    ]
    return "\n".join(
        [
            f"- {facts['threads']} threads, {facts['arithmetic']}",
            *one_line,
            *_decoders(facts),
            f"- `ocrformer read` of one image from the shell: {facts['start_up']:.2f} s",
            f"- `ocrformer read` of a folder: {facts['pipeline']:.0f} images/s, {facts['share_of_read']:.0%} of the "
            f"rate of `OCRformer.read`; first row after {facts['first_row']:.2f} s",
            f"- peak memory of `ocrformer read` above importing torch: {facts['peak_memory']:.0f} MB",
            f"- encoder: {facts['share_of_peak']:.0%} of the measured float matrix peak ({facts['peak']:.0f} GFLOP/s)",
            f"- synthetic lines for training, made by one core: {_made(facts['synthetic'])}",
            *_growth(facts),
            "",
        ]
    )


def _made(rate: float | None) -> str:
    return "the system has no fonts" if rate is None else f"{rate:.0f} a second"


def _decoders(facts: Mapping[str, Any]) -> list[str]:
    """What decoding costs."""
    rows = []
    for together, costs in facts["decoder"].items():
        if not costs:
            continue
        each = ", ".join(f"{mode} {cost:.0f}" for mode, cost in costs.items())
        differ = facts["different"][together]
        compared = "" if differ is None else f"; `draft` and `greedy` differ in {differ} lines"
        rows.append(
            f"- decoder, microseconds of one core for a character, lines at a time {together}: {each}{compared}"
        )
    return rows


def _growth(facts: Mapping[str, Any]) -> list[str]:
    """What `--scaling` found."""
    widths = [
        f"- milliseconds for a line by its width, {mode}: "
        + ", ".join(f"{w} px {cost:.1f}" for w, cost in costs.items())
        for mode, costs in facts.get("by_width", {}).items()
    ]
    runs = [
        f"- `ocrformer read` of {run['images']:,} images: {run['rate']:.0f} images/s, at most {run['memory']:.0f} MB"
        for run in facts.get("by_number", [])
    ]
    return widths + runs
