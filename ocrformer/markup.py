"""Results as markup: hOCR, ALTO 4.4, PAGE 2019-07-15."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from ocrformer.line import Character, Word
from ocrformer.rows import Row, pixels, printable

MARKUPS = ("hocr", "alto", "page")
"""Formats of this module."""

_CONTROL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # not allowed in XML 1.0
_LAST = 253_402_300_799  # seconds from 1970 to the end of the year 9999
_ALTO = "http://www.loc.gov/standards/alto/ns-v4#"
_PAGE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


def as_markup(rows: Sequence[Row], form: str, *, characters: bool) -> str:
    """All rows as one document.

    Args:
        rows: The results; exactly one for PAGE.
        form: One of `MARKUPS`.
        characters: Add the characters of each word.
    """
    root = {"hocr": _hocr, "alto": _alto, "page": _page}[form](rows, characters)
    if not (form == "hocr" and characters):  # white space between its characters would divide a word
        ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _written(root, form) + "\n"


def _written(root: ET.Element, form: str) -> str:
    """For HTML's parsers, which hOCR may meet, what is empty must be closed by a tag of its own."""
    return ET.tostring(root, encoding="unicode", short_empty_elements=form != "hocr")


def _clean(text: str) -> str:
    return _CONTROL.sub("", printable(text))


def _extent(part: Word | Character, row: Row) -> list[int]:
    return pixels(part.box, row) or [0, 0, row.width, row.height]


def _hocr(rows: Sequence[Row], characters: bool) -> ET.Element:
    root = ET.Element("html", xmlns="http://www.w3.org/1999/xhtml")
    head = ET.SubElement(root, "head")
    ET.SubElement(head, "title").text = "OCRformer"
    ET.SubElement(head, "meta", name="ocr-system", content="ocrformer")
    ET.SubElement(head, "meta", name="ocr-capabilities", content="ocr_page ocr_line ocrx_word ocrx_cinfo")
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
                element = ET.SubElement(line, "span", span)
                if characters:
                    _hocr_characters(element, word, row)
                    element.tail = " "
                else:
                    element.text = _clean(word.text)
    return root


def _hocr_characters(element: ET.Element, word: Word, row: Row) -> None:
    for character in word.characters:
        box = " ".join(map(str, _extent(character, row)))
        title = f"x_bboxes {box}; x_conf {100 * character.confidence:.2f}"
        ET.SubElement(element, "span", {"class": "ocrx_cinfo", "title": title}).text = _clean(character.text)


def _alto(rows: Sequence[Row], characters: bool) -> ET.Element:
    root = ET.Element("alto", xmlns=_ALTO)
    description = ET.SubElement(root, "Description")
    ET.SubElement(description, "MeasurementUnit").text = "pixel"
    source = ET.SubElement(description, "sourceImageInformation")
    for row in rows:  # of several pictures the first identifier is that of the first page, and so on
        ET.SubElement(source, "fileName" if len(rows) == 1 else "fileIdentifier").text = _clean(row.file)
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
            line = ET.SubElement(block, "TextLine", place | {"ID": f"line_{number}"})
            _alto_words(line, row, row.line.words, characters)
    return root


def _alto_words(line: ET.Element, row: Row, words: Sequence[Word], characters: bool) -> None:
    end = 0
    for index, word in enumerate(words):
        left, top, right, _ = box = _extent(word, row)
        if index:
            ET.SubElement(line, "SP", HPOS=str(end), VPOS=str(top), WIDTH=str(max(0, left - end)))
        said = {"CONTENT": _clean(word.text), "WC": f"{word.confidence:.4f}"}
        element = ET.SubElement(line, "String", _alto_place(box) | said)
        for character in word.characters if characters else ():
            said = {"CONTENT": _clean(character.text), "GC": f"{character.confidence:.4f}"}
            if said["CONTENT"]:  # ALTO wants one character
                ET.SubElement(element, "Glyph", _alto_place(_extent(character, row)) | said)
        end = right


def _alto_place(box: Sequence[int]) -> dict[str, str]:
    left, top, right, bottom = box
    return {"HPOS": str(left), "VPOS": str(top), "WIDTH": str(right - left), "HEIGHT": str(bottom - top)}


def _page(rows: Sequence[Row], characters: bool) -> ET.Element:
    (row,) = rows
    root = ET.Element("PcGts", xmlns=_PAGE)
    metadata = ET.SubElement(root, "Metadata")
    ET.SubElement(metadata, "Creator").text = "OCRformer"
    date = datetime.fromtimestamp(max(0, min(row.modified // 1_000_000_000, _LAST)), UTC).strftime("%Y-%m-%dT%H:%M:%S")
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
            for place, character in enumerate(word.characters if characters else (), 1):
                glyph = ET.SubElement(element, "Glyph", id=f"glyph_{index}_{place}")
                _coordinates(glyph, _extent(character, row))
                _text(glyph, character.text, character.confidence)
            _text(element, word.text, word.confidence)
        _text(line, row.line.text, row.line.confidence)
    return root


def _coordinates(element: ET.Element, box: Sequence[int]) -> None:
    left, top, right, bottom = box
    ET.SubElement(element, "Coords", points=f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}")


def _text(element: ET.Element, text: str, confidence: float) -> None:
    ET.SubElement(ET.SubElement(element, "TextEquiv", conf=f"{confidence:.4f}"), "Unicode").text = _clean(text)
