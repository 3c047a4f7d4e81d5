"""Results as text: txt, JSON, JSON lines, CSV, TSV, and by `markup` hOCR, ALTO and PAGE."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

from ocrformer.line import Character, Word
from ocrformer.markup import MARKUPS, as_markup
from ocrformer.rows import Row, pixels, printable

ROW_FORMATS = ("txt", "jsonl", "csv", "tsv")
"""Formats to which rows are appended one by one, so that a run can be resumed."""
FORMATS = ("txt", "json", "jsonl", "csv", "tsv", *MARKUPS)
"""All output formats."""
SUFFIXES = {"hocr": ".hocr", "alto": ".alto.xml", "page": ".page.xml"} | {f: f".{f}" for f in (*ROW_FORMATS, "json")}
"""File name endings of output files beside or mirroring the images."""
FORM_OF_ENDING = {".ndjson": "jsonl", ".html": "hocr"} | {suffix: form for form, suffix in SUFFIXES.items()}
"""Formats by the ending of an output file's name."""
COLUMNS = ("file", "text", "confidence", "status", "milliseconds", "error")
"""Columns of CSV and TSV, keys of JSON."""


def as_record(row: Row, *, characters: bool = False) -> dict[str, Any]:
    """A row as plain values, in the order of `COLUMNS`; suspect lines have a reason as well."""
    record: dict[str, Any] = {
        "file": printable(row.file),
        "text": row.line.text if row.line else "",
        "confidence": round(row.line.confidence, 4) if row.line else None,
        "status": row.status,
        "milliseconds": None if row.milliseconds is None else round(row.milliseconds, 2),
        "error": None if row.error is None else printable(row.error),
    }
    if row.line and row.line.reason:
        record["reason"] = row.line.reason
    if characters and row.line:
        record["characters"] = [_part(character, row) for character in row.line.characters]
        record["words"] = [_part(word, row) for word in row.line.words]
    return record


def _part(part: Character | Word, row: Row) -> dict[str, Any]:
    return {"text": part.text, "confidence": round(part.confidence, 4), "box": pixels(part.box, row)}


def header(form: str) -> str:
    """What a file of a row format begins with."""
    return {"csv": ",".join(COLUMNS) + "\n", "tsv": "\t".join(COLUMNS) + "\n"}.get(form, "")


def as_row(row: Row, form: str, *, characters: bool = False) -> str:
    """One row in a row format, line feed included.

    Args:
        row: The result.
        form: One of `ROW_FORMATS`.
        characters: Add characters and words with confidences and boxes (JSON lines only).
    """
    if form == "txt":
        return (row.line.text if row.line else "") + "\n"
    if form == "jsonl":
        return json.dumps(as_record(row, characters=characters), ensure_ascii=False) + "\n"
    record = as_record(row)
    values = ["" if record[column] is None else str(record[column]) for column in COLUMNS]
    if form == "tsv":
        return "\t".join(re.sub(r"[\t\r\n]", " ", value) for value in values) + "\n"
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(values)  # so that a carriage return in a name is quoted too
    return buffer.getvalue().removesuffix("\r\n") + "\n"


def as_document(rows: Sequence[Row], form: str, *, characters: bool = False) -> str:
    """All rows as one document, in any format.

    Args:
        rows: The results; exactly one for PAGE.
        form: One of `FORMATS`.
        characters: As in `as_row`; in markup, characters within their words.
    """
    if form in ROW_FORMATS:
        return header(form) + "".join(as_row(row, form, characters=characters) for row in rows)
    if form == "json":
        records = [as_record(row, characters=characters) for row in rows]
        return json.dumps(records, ensure_ascii=False, indent=1) + "\n"
    return as_markup(rows, form, characters=characters)
