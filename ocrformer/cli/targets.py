"""What `ocrformer read` writes, and where, from its options."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrformer.archives import ARCHIVES
from ocrformer.cli.extras import apart
from ocrformer.remote import SourceError, is_url
from ocrformer.sources import exists

if TYPE_CHECKING:
    from ocrformer.report import Report
    from ocrformer.writers import Destination, Writer


def output_format(places: list[str], options: dict[str, Any]) -> str:
    """The output format.

    Raises:
        SourceError: If there is nothing at any place.
        OutputError: If the format cannot hold what will be read.
    """
    from ocrformer.output_files import OutputError

    if places and not any(map(exists, places)):
        raise SourceError(f"{places[0] or repr(places[0])}: no such file or folder")
    single = all(os.path.isfile(place) and not place.lower().endswith(ARCHIVES) for place in places)  # noqa: PTH113 - pathlib raises
    form: str = options["form"] or _by_name(options["output"] or "") or ("txt" if single else "jsonl")
    if form == "page" and not (options["sidecars"] or options["output_dir"]) and not (single and len(places) == 1):
        raise OutputError("PAGE describes one image a file: use --sidecars or --output-dir")
    if options["characters"] and form in ("txt", "csv", "tsv"):
        raise OutputError(f"{form} has no room for --characters: use --format json, jsonl, hocr, alto or page")
    return form


def _by_name(output: str) -> str | None:
    """The format that the ending of the output's name stands for.

    Raises:
        OutputError: If it stands for two.
    """
    from ocrformer.output_files import OutputError
    from ocrformer.outputs import FORM_OF_ENDING

    form = next((form for ending, form in FORM_OF_ENDING.items() if output.lower().endswith(ending)), None)
    if form is None and output.lower().endswith(".xml"):
        raise OutputError(f"{output}: XML of which kind? name it with --format alto or --format page")
    return form


def writer_for(form: str, places: list[str], options: dict[str, Any]) -> Writer:
    """The writer that the options ask for.

    Raises:
        OutputError: If they contradict each other, or something would be replaced that may not be.
    """
    from ocrformer.output_files import OutputError, make_ready, occupied, spare
    from ocrformer.writers import open_writer

    report, output = options["report"], options["output"]
    for target in filter(None, (report, output)):
        apart(target, *places, options["model"], options["runtime"], within=False)  # rows may lie beside pictures
    if report:
        make_ready(report)
        if output and os.path.realpath(report) == os.path.realpath(output):
            raise OutputError(f"{report}: --output and --report must be two files")
        if options["resume"] and is_url(report):
            raise OutputError(f"{report}: --resume goes on with a --report on this machine alone")
        if occupied(report) and not (options["overwrite"] or options["resume"]):
            raise OutputError(f"{report} exists: use --overwrite to replace it")
        spare(report)
    return open_writer(_destination(form, options), sys.stdout)


def report_for(options: dict[str, Any], *, resumed: bool) -> Report | None:
    """The report that the options ask for; with the lines of the earlier run, if that is gone on with.

    Raises:
        OutputError: If there is another page in its place, and it may not be replaced.
    """
    from ocrformer.output_files import OutputError
    from ocrformer.report import Report

    page = options["report"]
    if not page:
        return None
    report = Report(folder="." if is_url(page) else str(Path(page).parent))
    if resumed and Path(page).is_file():
        try:
            report.go_on(page)
        except OutputError:
            if not options["overwrite"]:
                raise
    return report


def _destination(form: str, options: dict[str, Any]) -> Destination:
    from ocrformer.writers import Destination

    return Destination(
        form,
        output=options["output"],
        folder=options["output_dir"],
        sidecars=options["sidecars"],
        resume=options["resume"],
        overwrite=options["overwrite"],
        characters=options["characters"],
        settings={name: options[name] for name in ("model", "weights", "runtime", "mode", "charset", "min_confidence")},
    )
