"""`ocrformer read`: files, folders and archives of line images to text."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ocrformer.cli.extras import Share, need
from ocrformer.cli.progress import advancing, closing_words, progress
from ocrformer.cli.signals import stop_signals
from ocrformer.cli.targets import output_format, report_for, writer_for
from ocrformer.config import MODES, DecodeOptions
from ocrformer.magic import looks_like_image
from ocrformer.outputs import FORMATS
from ocrformer.remote import SourceError

if TYPE_CHECKING:
    from ocrformer.cluster import RayTranscriber
    from ocrformer.reader import OCRformer
    from ocrformer.report import Report
    from ocrformer.summary import Summary
    from ocrformer.transcribe import Result, Transcriber
    from ocrformer.writers import Writer


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-r", "--recursive", is_flag=True, help="Go into folders within folders, but not into links to folders.")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="[by the ending of --output; else txt where nothing but picture files is named, jsonl otherwise]",
)
@click.option("-o", "--output", metavar="FILE", help="Write to one file; - is standard output.")
@click.option("--sidecars", is_flag=True, help="Write a file beside each image.")
@click.option("--output-dir", metavar="DIR", help="Write a file per image into a mirror of the tree.")
@click.option("--resume", is_flag=True, help="Go on where an earlier run stopped; finished images are skipped.")
@click.option("--overwrite", is_flag=True, help="Replace an output file that exists.")
@click.option(
    "--report",
    metavar="FILE",
    help="Also write an HTML page of the most doubtful lines, for correction; --resume adds to it.",
)
@click.option(
    "--characters", is_flag=True, help="Add characters with confidences and boxes, in pixels (JSON, hOCR, ALTO, PAGE)."
)
@click.option("--timing", is_flag=True, help="Note milliseconds per image (two runs then differ in them).")
@click.option("--model", default="default", show_default=True, metavar="FILE", help="Weights to read with.")
@click.option("--mode", type=click.Choice(MODES), default=DecodeOptions.mode, show_default=True, help="How to decode.")
@click.option("--charset", metavar="CHARS", help="The only characters to write; of Hangul, all that their jamo spell.")
@click.option("--min-confidence", type=Share(), default=0.0, help="Mark less confident lines suspect.")
@click.option("--device", help="cpu, cuda, ... [a GPU if there is one]")
@click.option(
    "--runtime", default="auto", show_default=True, help="torch, float32, onnx or an ONNX file runs the encoder."
)
@click.option("--batch-size", default="auto", metavar="N", help="Lines of usual width per batch. [auto]")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads of the model. [all cores]")
@click.option("--engine", type=click.Choice(("local", "ray")), default="local", show_default=True, help="Who reads.")
@click.option("--address", metavar="ADDRESS", help="Ray cluster to join, auto for the nearest. [one on this machine]")
@click.option("--actors", type=click.IntRange(1), help="Readers of the Ray engine, one core each. [all cores]")
@click.option("--fail-fast", is_flag=True, help="Stop at the first image that cannot be read.")
def read(paths: tuple[str, ...], **options: Any) -> None:
    """Read images of text lines.

    PATH is an image, a folder, a glob, a zip or tar archive, a URL (s3://...), or - for a list of paths on standard
    input. Images are found by content. An image that cannot be read becomes a row with the reason; the others go on.

    Exit status: 0 all read, 1 some failed, 2 wrong use, 130 interrupted, 143 terminated,
    141 nobody reads the output any more (`| head`).
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # whatever the locale
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # names that are no text in it
    if sum(bool(options[name]) for name in ("output", "sidecars", "output_dir")) > 1:
        raise click.UsageError("choose one of --output, --sidecars and --output-dir")
    if options["engine"] != "ray" and (options["actors"] or options["address"]):
        raise click.UsageError("--actors and --address are for --engine ray")
    from ocrformer.charset import CharsetError
    from ocrformer.model.network import WeightsError
    from ocrformer.output_files import OutputError

    try:
        places = list(_places(paths))
        with stop_signals() as stopped:
            sys.exit(_run(places, options, stopped))
    except (SourceError, OutputError, WeightsError, CharsetError) as error:
        raise click.UsageError(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # whoever read our output has seen enough; click ends quietly
        raise click.UsageError(f"cannot write {error.filename or 'the output'} ({error.strerror})") from None


def _places(paths: tuple[str, ...]) -> Iterator[str]:
    for path in paths:
        if path == "-":
            if sys.stdin is None:
                raise click.UsageError("standard input is closed")
            listed = sys.stdin.read()
            names = listed.split("\0" if "\0" in listed else "\n")  # `find -print0`
            lines = [name.rstrip("\r").removeprefix("\ufeff") for name in names if name.strip()]
            if lines and not os.path.lexists(lines[0]) and looks_like_image(os.fsencode("\n".join(lines[:4]))):
                raise click.UsageError("standard input must be a list of paths, not a picture")
            yield from lines
        else:
            yield path


def _run(places: list[str], options: dict[str, Any], stopped: list[int]) -> int:
    from ocrformer.output_files import put
    from ocrformer.sources import find, is_folder
    from ocrformer.summary import Summary
    from ocrformer.transcribe import Windows

    form = output_format(places, options)
    reader = _reader(options)
    options["weights"] = hashlib.sha256(reader.path.read_bytes()).hexdigest()[:8] if reader.path else None
    decode = _decode_options(reader, options, boxes=options["characters"] or form in ("hocr", "alto", "page"))
    report = report_for(options, resumed=options["resume"])
    summary = Summary()
    items = find(places, recursive=options["recursive"], pass_over=summary.pass_over)
    first = next(items, None)
    if first is None:  # before anything is replaced
        flat = not options["recursive"] and any(map(is_folder, places))
        within = "; --recursive looks into folders within folders" if flat else ""
        raise SourceError(f"{places[0] if places else 'the list'}: no pictures there{within}")
    with _engine(reader, decode, options) as engine, progress(places, options["recursive"]) as bar:
        writer = writer_for(form, places, options)  # last: it opens files
        if not writer.resumed:
            report = report_for(options, resumed=False)
        windows = Windows(map(writer.admit, itertools.chain([first], items)), writer.is_done)
        advance = advancing(bar, windows, summary)
        for results in engine.run(windows):
            if options["fail_fast"]:
                results = _until_failure(results)
            _take(results, writer, summary, report)
            advance(len(results))
            if stopped or (options["fail_fast"] and summary.failed):
                break
    writer.close()
    if report:
        lacking = report.lacking(windows.skipped)
        put(options["report"], report.page(summary, lacking))
        if lacking:
            missing = f"lacks {lacking:,} pictures that an earlier run read and left no page of"
            click.echo(f"{options['report']}: {missing}", err=True)
    for sentence in closing_words(summary, windows.skipped, writer.failed):
        click.echo(sentence, err=True)
    if stopped:
        again = "--resume goes on" if writer.resumable else "what was read until then is written"
        click.echo(f"interrupted; {again}", err=True)
        return 128 + stopped[0]
    return 1 if summary.failed or writer.failed else 0


def _take(results: list[Result], writer: Writer, summary: Summary, report: Report | None) -> None:
    """Write and count a window's results, and say what failed."""
    writer.write(results)
    rows = [row for result in results for row in result.rows]
    summary.add(rows)
    if report:
        report.add(results)
    for row in rows:
        if row.error:
            click.echo(f"ocrformer: {row.error}", err=True)


@contextmanager
def _engine(
    reader: OCRformer, decode: DecodeOptions, options: dict[str, Any]
) -> Iterator[Transcriber | RayTranscriber]:
    """What turns windows into rows: this process, or a Ray cluster."""
    from ocrformer.transcribe import Transcriber, WindowReader

    height, confidence, timing = reader.network.config.height, options["min_confidence"], options["timing"]
    if options["engine"] == "local":
        executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="decode")
        try:
            yield Transcriber(WindowReader(reader.read_prepared, decode, confidence, timing), height, executor)
        finally:
            executor.shutdown(cancel_futures=True)  # whoever stops does not wait for windows that nobody will read
        return
    need("ray", "ray")
    from ocrformer.cluster import ClusterError, Job, RayTranscriber

    job = Job(options["model"], decode, confidence, timing, options["device"], options["runtime"])
    try:
        engine = RayTranscriber(job, actors=options["actors"], address=options["address"])
        try:
            yield engine
        finally:
            engine.close()
    except ClusterError as error:
        raise click.UsageError(str(error)) from None


def _until_failure(results: list[Any]) -> list[Any]:
    """Results up to and including the first that failed."""
    failing = (index for index, result in enumerate(results) if any(row.error for row in result.rows))
    return results[: next(failing, len(results)) + 1]


def _reader(options: dict[str, Any]) -> OCRformer:
    import torch

    from ocrformer.reader import OCRformer
    from ocrformer.workers import cores

    torch.set_num_threads(options["threads"] or min(torch.get_num_threads(), cores()))
    return OCRformer.from_pretrained(options["model"], options["device"], options["runtime"])


def _decode_options(reader: OCRformer, options: dict[str, Any], *, boxes: bool) -> DecodeOptions:
    if options["charset"] is not None:
        if not options["charset"].strip():
            raise click.UsageError("--charset names no character")
        reader.charset.allowed(options["charset"])  # an unknown character is an error before anything is read
    pixels = DecodeOptions.batch_pixels
    if options["batch_size"] != "auto":
        if not options["batch_size"].isdecimal() or not int(options["batch_size"]):
            raise click.UsageError(f"--batch-size must be auto or a number, got {options['batch_size']!r}")
        pixels = 256 * int(options["batch_size"])
    return DecodeOptions(mode=options["mode"], allowed=options["charset"], boxes=boxes, batch_pixels=pixels)
