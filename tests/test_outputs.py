import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from ocrformer.line import Box, Character, Line
from ocrformer.outputs import COLUMNS, FORMATS, ROW_FORMATS, as_document, as_row, header
from ocrformer.rows import Row
from tests.conftest import ROOT

SCHEMAS = ROOT / "tests" / "schemas"


def line(text='Tot\u00e4l <5 & "x"', status="ok"):
    step = 1 / max(1, len(text))
    characters = tuple(
        Character(c, 0.9 - 0.01 * i, Box(i * step, 0.1, (i + 1) * step, 0.9)) for i, c in enumerate(text)
    )
    return Line(text, 0.87654, status, characters)


ROWS = [
    Row("a\tb.png", line(), None, 300, 40, 1.23456, 1_700_000_000_000_000_000),
    Row("blank.png", line("", "empty"), None, 100, 20),
    Row('bad,"quoted".png', None, "bad.png: damaged or truncated image", 0, 0),
    Row("control\x01.png", line("a\x02b"), None, 10, 10),
    Row("caf\udce9.png", line("bytes"), None, 10, 10),  # a name that is no UTF-8
]


def test_json_lines_hold_every_column_in_order():
    for row in ROWS:
        record = json.loads(as_row(row, "jsonl"))
        assert tuple(record) == COLUMNS
    first, _, failed = (json.loads(as_row(row, "jsonl")) for row in ROWS[:3])
    assert first == {
        "file": "a\tb.png", "text": "Tot\u00e4l <5 & \"x\"", "confidence": 0.8765, "status": "ok",
        "milliseconds": 1.23, "error": None,
    }  # fmt: skip
    assert failed["status"] == "failed" and failed["confidence"] is None and "damaged" in failed["error"]


def test_characters_have_boxes_in_pixels():
    record = json.loads(as_row(ROWS[0], "jsonl", characters=True))
    assert record["characters"][0] == {"text": "T", "confidence": 0.9, "box": [0, 4, 22, 36]}
    assert len(record["characters"]) == len(record["text"])


def test_csv_and_tsv_can_be_read_back():
    table = list(csv.DictReader(io.StringIO(as_document(ROWS, "csv"))))
    assert [row["text"] for row in table] == [row.line.text if row.line else "" for row in ROWS]
    lines = as_document(ROWS, "tsv").splitlines()
    assert lines[0].split("\t") == list(COLUMNS)
    assert all(len(row.split("\t")) == len(COLUMNS) for row in lines)
    assert header("jsonl") == header("txt") == ""


def test_text_keeps_one_line_per_image():
    assert as_document(ROWS, "txt").count("\n") == len(ROWS)


def test_json_is_an_array():
    assert [r["file"] for r in json.loads(as_document(ROWS, "json"))][1] == "blank.png"


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_unicode_text(form):
    for row in ROWS:
        as_document([row], form).encode("utf-8")


def test_row_formats_are_documents_row_by_row():
    for form in ROW_FORMATS:
        assert as_document(ROWS, form) == header(form) + "".join(as_row(row, form) for row in ROWS)


@pytest.fixture(scope="module")
def alto():
    return xmlschema.XMLSchema(
        str(SCHEMAS / "alto-4-4.xsd"),
        locations={"http://www.w3.org/1999/xlink": str(SCHEMAS / "xlink.xsd")},
        allow="local",
    )


@pytest.fixture(scope="module")
def page():
    return xmlschema.XMLSchema(str(SCHEMAS / "page-2019-07-15.xsd"), allow="local")


def test_alto_is_valid(alto):
    for rows, characters in (([ROWS[0]], False), (ROWS, False), (ROWS, True)):
        alto.validate(as_document(rows, "alto", characters=characters))
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        alto.validate(as_document(ROWS, "alto").replace("HPOS", "HPOZ"))


def test_page_is_valid(page):
    for row in ROWS:
        for characters in (False, True):
            page.validate(as_document([row], "page", characters=characters))


@pytest.mark.parametrize(("form", "tag"), [("alto", "Glyph"), ("page", "Glyph"), ("hocr", "span")])
def test_markup_holds_every_character_of_a_word(form, tag):
    root = ET.fromstring(as_document([ROWS[0]], form, characters=True))
    glyphs = [e for e in root.iter() if e.tag.endswith(tag) and e.get("class", "ocrx_cinfo") == "ocrx_cinfo"]
    text = {
        "alto": lambda e: e.get("CONTENT"),
        "page": lambda e: "".join(e.itertext()).strip(),
        "hocr": lambda e: e.text,
    }[form]
    assert "".join(map(text, glyphs)) == ROWS[0].line.text.replace(" ", "")
    if form == "hocr":
        words = [e for e in root.iter() if e.get("class") == "ocrx_word"]
        assert ["".join(word.itertext()) for word in words] == ROWS[0].line.text.split()
        (line,) = (e for e in root.iter() if e.get("class") == "ocr_line")
        assert "".join(line.itertext()).strip() == ROWS[0].line.text


def test_json_has_words_with_boxes():
    (record,) = json.loads(as_document([ROWS[0]], "json", characters=True))
    assert [word["text"] for word in record["words"]] == ROWS[0].line.text.split()
    for word in record["words"]:
        left, top, right, bottom = word["box"]
        assert 0 <= left < right <= ROWS[0].width and 0 <= top < bottom <= ROWS[0].height


def test_alto_words_and_spaces_alternate():
    root = ET.fromstring(as_document([ROWS[0]], "alto"))
    tags = [element.tag.split("}")[1] for element in root.iter() if element.tag.split("}")[1] in ("String", "SP")]
    assert tags == ["String", "SP", "String", "SP", "String", "SP", "String"]
    strings = [e for e in root.iter() if e.tag.endswith("}String")]
    assert [e.get("CONTENT") for e in strings] == ROWS[0].line.text.split()
    assert all(0 <= float(e.get("WC")) <= 1 for e in strings)
    edges = [int(e.get("HPOS")) for e in root.iter() if e.tag.split("}")[1] in ("String", "SP")]
    assert edges == sorted(edges)


def test_hocr_is_well_formed_and_holds_boxes():
    root = ET.fromstring(as_document(ROWS, "hocr"))
    words = [e for e in root.iter() if e.get("class") == "ocrx_word"]
    assert [w.text for w in words][:4] == ROWS[0].line.text.split()
    assert all("bbox" in w.get("title") and "x_wconf" in w.get("title") for w in words)
    assert len([e for e in root.iter() if e.get("class") == "ocr_page"]) == len(ROWS)
    assert "/>" not in as_document(ROWS, "hocr")  # parsers of HTML take that for a beginning


def test_page_dates_come_from_the_image():
    assert "2023-11-14T22:13:20" in as_document([ROWS[0]], "page")
