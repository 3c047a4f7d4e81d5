"""Results as text: txt, JSON, JSON lines, CSV, TSV, hOCR, ALTO 4.4, PAGE 2019-07-15."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from ocrformer.line import Box, Line, Word

FORMATS = ("txt", "json", "jsonl", "csv", "tsv", "hocr", "alto", "page")
"""All output formats."""
ROW_FORMATS = ("txt", "jsonl", "csv", "tsv")
"""Formats to which rows are appended one by one, so that a run can be resumed."""
SUFFIXES = {"hocr": ".hocr", "alto": ".alto.xml", "page": ".page.xml"} | {f: f".{f}" for f in (*ROW_FORMATS, "json")}
"""File name endings of output files beside or mirroring the images."""
COLUMNS = ("file", "text", "confidence", "status", "milliseconds", "error")
"""Columns of CSV and TSV, keys of JSON."""

_CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not allowed in XML 1.0
_ALTO = "http://www.loc.gov/standards/alto/ns-v4#"
_PAGE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


@dataclass(frozen=True)
class Row:
    """Result of one image.

    Attributes:
        file: Name of the image.
        line: What was read, or None.
        error: Why nothing was read, in one sentence.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        milliseconds: Time spent on the image, if it was taken.
        modified: When the image file was last changed, nanoseconds since 1970.
    """

    file: str
    line: Line | None
    error: str | None = None
    width: int = 0
    height: int = 0
    milliseconds: float | None = None
    modified: int = 0

    @property
    def status(self) -> str:
        """Status of the line, or `failed`."""
        return self.line.status if self.line else "failed"


def as_record(row: Row, *, characters: bool = False) -> dict[str, Any]:
    """A row as plain values, in the order of `COLUMNS`; suspect lines have a reason as well."""
    record: dict[str, Any] = {
        "file": _printable(row.file),
        "text": row.line.text if row.line else "",
        "confidence": round(row.line.confidence, 4) if row.line else None,
        "status": row.status,
        "milliseconds": None if row.milliseconds is None else round(row.milliseconds, 2),
        "error": None if row.error is None else _printable(row.error),
    }
    if row.line and row.line.reason:
        record["reason"] = row.line.reason
    if characters and row.line:
        record["characters"] = [
            {"text": c.text, "confidence": round(c.confidence, 4), "box": _pixels(c.box, row)}
            for c in row.line.characters
        ]
    return record


def _printable(name: str) -> str:
    """A file name as text, even if its bytes are none."""
    return name.encode("utf-8", "backslashreplace").decode()


def _pixels(box: Box | None, row: Row) -> list[int] | None:
    """Left, top, right, bottom in pixels of the image."""
    if box is None:
        return None
    left, top = int(box.left * row.width), int(box.top * row.height)
    right, bottom = -int(-box.right * row.width // 1), -int(-box.bottom * row.height // 1)
    return [left, top, max(right, left + 1), max(bottom, top + 1)]


def header(form: str) -> str:
    """What a file of a row format begins with."""
    return {"csv": ",".join(COLUMNS) + "\n", "tsv": "\t".join(COLUMNS) + "\n"}.get(form, "")


def as_row(row: Row, form: str, *, characters: bool = False) -> str:
    """One row in a row format, line feed included.

    Args:
        row: The result.
        form: One of `ROW_FORMATS`.
        characters: Add characters with confidences and boxes (JSON lines only).
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
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def as_document(rows: Sequence[Row], form: str, *, characters: bool = False) -> str:
    """All rows as one document, in any format.

    Args:
        rows: The results; exactly one for PAGE.
        form: One of `FORMATS`.
        characters: As in `as_row`.
    """
    if form in ROW_FORMATS:
        return header(form) + "".join(as_row(row, form, characters=characters) for row in rows)
    if form == "json":
        records = [as_record(row, characters=characters) for row in rows]
        return json.dumps(records, ensure_ascii=False, indent=1) + "\n"
    root = {"hocr": _hocr, "alto": _alto, "page": _page}[form](rows)
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _CONTROL.sub("", _printable(text))


def _extent(word: Word, row: Row) -> list[int]:
    return _pixels(word.box, row) or [0, 0, row.width, row.height]


def _hocr(rows: Sequence[Row]) -> ET.Element:
    root = ET.Element("html", xmlns="http://www.w3.org/1999/xhtml")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "title").text = "OCRformer"
    ET.SubElement(head, "meta", name="ocr-system", content="ocrformer")
    ET.SubElement(head, "meta", name="ocr-capabilities", content="ocr_page ocr_line ocrx_word")
    body = ET.SubElement(root, "body")
    for number, row in enumerate(rows, 1):
        whole = f"bbox 0 0 {row.width} {row.height}"
        name = _clean(row.file).replace('"', "'")
        page = ET.SubElement(
            body, "div", {"class": "ocr_page", "id": f"page_{number}", "title": f'image "{name}"; {whole}'}
        )
        if row.line and row.line.text:
            confidence = round(100 * row.line.confidence)
            title = f"{whole}; x_wconf {confidence}"
            line = ET.SubElement(page, "span", {"class": "ocr_line", "id": f"line_{number}", "title": title})
            for index, word in enumerate(row.line.words, 1):
                box = " ".join(map(str, _extent(word, row)))
                title = f"bbox {box}; x_wconf {round(100 * word.confidence)}"
                span = {"class": "ocrx_word", "id": f"word_{number}_{index}", "title": title}
                ET.SubElement(line, "span", span).text = _clean(word.text)
    return root


def _alto(rows: Sequence[Row]) -> ET.Element:
    root = ET.Element("alto", xmlns=_ALTO)
    description = ET.SubElement(root, "Description")
    ET.SubElement(description, "MeasurementUnit").text = "pixel"
    source = ET.SubElement(description, "sourceImageInformation")
    ET.SubElement(source, "fileName").text = _clean(rows[0].file) if len(rows) == 1 else ""
    processing = ET.SubElement(description, "Processing", ID="ocrformer")
    software = ET.SubElement(processing, "processingSoftware")
    ET.SubElement(software, "softwareName").text = "OCRformer"
    layout = ET.SubElement(root, "Layout")
    for number, row in enumerate(rows, 1):
        extent = {"HEIGHT": str(row.height), "WIDTH": str(row.width)}
        place = extent | {"HPOS": "0", "VPOS": "0"}
        page = ET.SubElement(layout, "Page", extent | {"ID": f"page_{number}", "PHYSICAL_IMG_NR": str(number)})
        space = ET.SubElement(page, "PrintSpace", place)
        if row.line and row.line.text:
            block = ET.SubElement(space, "TextBlock", place | {"ID": f"block_{number}"})
            _alto_words(ET.SubElement(block, "TextLine", place | {"ID": f"line_{number}"}), row, row.line.words)
    return root


def _alto_words(line: ET.Element, row: Row, words: Sequence[Word]) -> None:
    end = 0
    for index, word in enumerate(words):
        left, top, right, bottom = _extent(word, row)
        if index:
            ET.SubElement(line, "SP", HPOS=str(end), VPOS=str(top), WIDTH=str(max(0, left - end)))
        place = {"HPOS": str(left), "VPOS": str(top), "WIDTH": str(right - left), "HEIGHT": str(bottom - top)}
        ET.SubElement(line, "String", place | {"CONTENT": _clean(word.text), "WC": f"{word.confidence:.4f}"})
        end = right


def _page(rows: Sequence[Row]) -> ET.Element:
    (row,) = rows
    root = ET.Element("PcGts", xmlns=_PAGE)
    metadata = ET.SubElement(root, "Metadata")
    ET.SubElement(metadata, "Creator").text = "OCRformer"
    date = datetime.fromtimestamp(row.modified // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    for name in ("Created", "LastChange"):  # of the image: equal runs give equal files
        ET.SubElement(metadata, name).text = date
    size = {"imageWidth": str(row.width), "imageHeight": str(row.height)}
    page = ET.SubElement(root, "Page", {"imageFilename": _clean(row.file)} | size)
    if row.line and row.line.text:
        whole = [0, 0, row.width, row.height]
        region = ET.SubElement(page, "TextRegion", id="region_1")
        _coordinates(region, whole)
        line = ET.SubElement(region, "TextLine", id="line_1")
        _coordinates(line, whole)
        for index, word in enumerate(row.line.words, 1):
            element = ET.SubElement(line, "Word", id=f"word_{index}")
            _coordinates(element, _extent(word, row))
            _text(element, word.text, word.confidence)
        _text(line, row.line.text, row.line.confidence)
    return root


def _coordinates(element: ET.Element, box: Sequence[int]) -> None:
    left, top, right, bottom = box
    ET.SubElement(element, "Coords", points=f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}")


def _text(element: ET.Element, text: str, confidence: float) -> None:
    ET.SubElement(ET.SubElement(element, "TextEquiv", conf=f"{confidence:.4f}"), "Unicode").text = _clean(text)
