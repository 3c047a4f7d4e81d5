"""Tables of labels: rows of a picture's name and its text, from TSV, CSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

TABLES = (
    "labels.tsv",
    "labels.csv",
    "labels.jsonl",
    "metadata.jsonl",
    "metadata.csv",
    "gt.txt",
    "labels.txt",
)
"""Names that are looked for in folders, the first before the others."""
_IMAGE_KEYS = ("file_name", "file", "image", "filename", "path")
_TEXT_KEYS = ("text", "label", "transcription", "ground_truth", "gt")


def holds_labels(name: str) -> bool:
    """Whether a file of that name in a folder would be taken for labels, of a picture or of many."""
    return name.lower() in (*TABLES, "data.mdb") or name.lower().endswith(".gt.txt")


class DatasetError(ValueError):
    """A data set that cannot be used, in one sentence."""


def tab_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    """`file<TAB>text`; no quoting, so that a text may begin with a quotation mark; further tabs belong to the text.

    With a heading that names more columns, as results have it, each is a column.
    """
    lines = [(number, line) for number, line in enumerate(_lines(content), 1) if line.strip()]
    heading = [cell.strip().lower() for cell in lines[0][1].split("\t")] if lines else []
    named, name, text = _columns(table, heading)
    columns = len(heading) if named and len(heading) > 2 else 2
    for number, line in lines[1 if named else 0 :]:
        cells = line.split("\t", columns - 1)
        if len(cells) <= max(name, text):  # later ones are empty where an editor has cut off white space
            expected = "<TAB>".join(heading if columns > 2 else ("file", "text"))
            raise DatasetError(f"{table}:{number}: expected {expected}, found {line[:60]!r}")
        if not _failed(dict(zip(heading, cells, strict=False)), cells[text]):
            yield cells[name], cells[text]


def _lines(content: str) -> list[str]:
    """Lines as editors count them; other separators that Unicode knows belong to the text."""
    return content.replace("\r\n", "\n").split("\n" if "\n" in content else "\r")


def _failed(record: Mapping[str, Any], text: str) -> bool:
    """Whether a row of results says that nothing could be read, which does not mean that nothing is written there."""
    return not text and record.get("status") == "failed"


def csv_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    """By the columns of a heading, or a file and a text in each row."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DatasetError(f"{table}:{reader.line_num}: no well-formed CSV ({error})") from None
    heading = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    named, name, text = _columns(table, heading)
    for number, row in rows[1 if named else 0 :]:
        if len(row) <= max(name, text):
            raise DatasetError(f"{table}:{number}: expected a file and a text, found {row!r}")
        if len(row) > (len(heading) if named else 2):
            raise DatasetError(
                f'{table}:{number}: too many cells; put a text that holds commas in quotes: "Hello, world"'
            )
        if not _failed(dict(zip(heading, row, strict=False)), row[text]):
            yield row[name], row[text]


def _columns(table: Path, first: Sequence[str]) -> tuple[bool, int, int]:
    """Whether the first row is a heading, and the columns of names and texts; one word of it may well be a label.

    Raises:
        DatasetError: If it is one of pictures without texts.
    """
    name = next((first.index(key) for key in _IMAGE_KEYS if key in first), None)
    text = next((first.index(key) for key in _TEXT_KEYS if key in first), None)
    heading = "." not in first[0] and (first[0] in _IMAGE_KEYS or len(first) > 2) if first else False
    if name is not None and text is None and heading:
        raise DatasetError(f"{table}:1: its heading names no column of texts ({', '.join(_TEXT_KEYS)})")
    return (False, 0, 1) if name is None or text is None else (True, name, text)


def json_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    """An object in each line."""
    for number, line in enumerate(_lines(content), 1):
        if line.strip():
            yield from _recorded(f"{table}:{number}", _parsed(f"{table}:{number}", line))


def array_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    """An array of objects."""
    records = _parsed(str(table), content)
    if not isinstance(records, list):
        raise DatasetError(f"{table}: expected an array of objects; JSON lines are called .jsonl")
    for number, record in enumerate(records, 1):
        yield from _recorded(f"{table}, object {number}", record)


def _parsed(place: str, text: str) -> Any:
    try:
        return json.loads(text, parse_int=str, parse_float=str)  # 3.10 is no 3.1
    except (ValueError, RecursionError):
        return _expected(place)


def _recorded(place: str, record: Any) -> Iterator[tuple[str, str]]:
    """Name and text of an object, if anything could be read."""
    fields = record if isinstance(record, dict) else {}
    name = next((fields[key] for key in _IMAGE_KEYS if key in fields), None)
    text = next((fields[key] for key in _TEXT_KEYS if key in fields), None)
    if not (isinstance(name, str) and isinstance(text, str)):
        _expected(place)
    elif not _failed(fields, text):
        yield name, text


def _expected(place: str) -> NoReturn:
    keys = f"{' or '.join(_IMAGE_KEYS[:2])} and {' or '.join(_TEXT_KEYS[:2])}"
    raise DatasetError(f"{place}: expected an object with {keys}")
