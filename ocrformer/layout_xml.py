"""Text lines of PAGE and ALTO files, and their cutting out of the page picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from ocrformer.image import ImageError, Pixels
from ocrformer.sources import open_picture

_ALTO_PARTS = {"String": "", "SP": " ", "HYP": "-"}
"""What a line of ALTO consists of, and what a part says that has no content; two words need no space between them."""
_ALTO_PLACE = ("HPOS", "VPOS", "WIDTH", "HEIGHT")

_LIKE = 0.02  # by how much the shapes of a page and of its scaled picture may differ

_MAX_PAGE_PIXELS = 89_000_000
"""A page has more pixels than a line: A3 at 600 dpi has 70 million. Pillow warns of still more."""

Corners = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""
Size = tuple[int, int]
"""Width and height of the page in the pixels of its file, 0 where it does not say."""


def labelled_lines(path: Path) -> tuple[str, Size, list[tuple[str, Corners]]]:
    """Name of the page picture, its size, and text and place of each line; no lines if the file is of another kind.

    Raises:
        ET.ParseError: If the file is no XML.
        ValueError: If places are in another unit than pixels, or a line has none.
        OSError: If it cannot be read.
    """
    try:
        root = ET.parse(path).getroot()
    except ValueError as error:  # of an encoding that the parser does not take
        raise ET.ParseError(str(error)) from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # namespaces differ between versions
    find = {"PcGts": _page_lines, "alto": _alto_lines}.get(root.tag)
    return find(root) if find else ("", (0, 0), [])


def _check_alone(root: ET.Element) -> None:
    if sum(page.find(".//TextLine") is not None for page in root.iter("Page")) > 1:
        raise ValueError("it describes several pages, which must be a file each")


def _size(page: ET.Element | None, width: str, height: str) -> Size:
    return (0, 0) if page is None else (int(float(page.get(width) or 0)), int(float(page.get(height) or 0)))


def _page_lines(root: ET.Element) -> tuple[str, Size, list[tuple[str, Corners]]]:
    _check_alone(root)
    page = root.find("Page")
    if page is None:
        return "", (0, 0), []
    lines = []
    for line in page.iter("TextLine"):
        coordinates = line.find("Coords")
        text = _page_text(line)
        if coordinates is not None and text:
            lines.append((text, _placed(line, partial(_page_place, coordinates))))
    return page.get("imageFilename", ""), _size(page, "imageWidth", "imageHeight"), lines


def _page_text(line: ET.Element) -> str:
    """A line's best transcription, or else those of its words."""
    texts = [equivalent for equivalent in line.findall("TextEquiv") if equivalent.find("Unicode") is not None]
    if texts:  # without a text where someone has cleared it, whatever its words say
        return min(texts, key=_rank).findtext("Unicode", "").strip()
    return " ".join(filter(None, map(_page_text, line.findall("Word"))))


def _rank(transcription: ET.Element) -> int:
    index = transcription.get("index", "").strip()
    return int(index) if index.isdecimal() else 0


def _page_place(coordinates: ET.Element) -> list[tuple[float, ...]]:
    """Corners of a line."""
    return _points(coordinates.get("points", "")) or [
        (float(point.get("x", "")), float(point.get("y", ""))) for point in coordinates.findall("Point")
    ]  # as before 2013


def _placed(line: ET.Element, place: Callable[[], list[tuple[float, ...]]]) -> Corners:
    """The rectangle around a line's place; what is wrong with it names the line."""
    try:
        return _around(place())
    except (ValueError, IndexError, OverflowError) as error:
        raise ValueError(f"line {line.get('id') or line.get('ID') or 'without an id'}: {error}") from None


def _alto_lines(root: ET.Element) -> tuple[str, Size, list[tuple[str, Corners]]]:
    unit = root.findtext("Description/MeasurementUnit", "").strip() or "pixel"
    if unit != "pixel":
        raise ValueError(f"its places are in {unit}, and only pixels say which part of the picture they mean")
    _check_alone(root)
    texts = [(text, line) for line in root.iter("TextLine") if (text := _alto_text(line))]
    lines = [(text, _placed(line, partial(_alto_place, line))) for text, line in texts]
    name = root.findtext("Description/sourceImageInformation/fileName", "")
    return name, _size(next(root.iter("Page"), None), "WIDTH", "HEIGHT"), lines


def _alto_text(line: ET.Element) -> str:
    text, last = "", ""
    for part in line:
        if part.tag in _ALTO_PARTS:
            between = " " if part.tag == last == "String" else ""
            text += between + part.get("CONTENT", _ALTO_PARTS[part.tag])
            last = part.tag
    return text


def _alto_place(line: ET.Element) -> list[tuple[float, ...]]:
    """Corners of a line, its outline where it has none, or else the corners of its words."""
    outline, placed = line.find("Shape/Polygon"), set(_ALTO_PLACE) <= set(line.keys())
    if outline is not None and not placed:
        numbers = list(map(float, outline.get("POINTS", "").replace(",", " ").split()))
        if len(numbers) % 2:
            raise ValueError("its outline ends with half a point")
        return list(zip(numbers[::2], numbers[1::2], strict=True))
    points: list[tuple[float, ...]] = []
    for part in [line] if placed else line.findall("String"):
        left, top, width, height = (float(part.get(key, "")) for key in _ALTO_PLACE)
        points += [(left, top), (left + width, top + height)]
    return points


def _points(text: str) -> list[tuple[float, ...]]:
    points = text.split()
    strange = next((point for point in points if point.count(",") != 1), None)
    if strange:
        raise ValueError(f"a point is two numbers and a comma, not {strange!r}")
    return [tuple(map(float, point.split(","))) for point in points]


def _around(points: Sequence[tuple[float, ...]]) -> Corners:
    """The rectangle around some points."""
    if not points:
        raise ValueError("no points")
    columns, rows = [p[0] for p in points], [p[1] for p in points]
    return int(min(columns)), int(min(rows)), int(max(columns)) + 1, int(max(rows)) + 1


@lru_cache(maxsize=4)
def _page(image: Path) -> Pixels:
    """A page picture: its lines are cut one after the other."""
    return open_picture(str(image), _MAX_PAGE_PIXELS)


def cut(image: Path, size: Size, box: Corners) -> Pixels:
    """The box of a page picture, which may be smaller or larger than the page for which the box was drawn.

    It is kept, compressed: training draws lines of all pages in turn, and a page takes long to decode.

    Raises:
        ImageError: If the picture cannot be read or is of another shape than the page, or the box lies outside.
    """
    return np.asarray(Image.open(io.BytesIO(_compressed(image, size, box))))


@lru_cache(maxsize=100_000)
def _compressed(image: Path, size: Size, box: Corners) -> bytes:
    page = _page(image)
    across, down = page.shape[1] / (size[0] or page.shape[1]), page.shape[0] / (size[1] or page.shape[0])
    if abs(across / down - 1) > _LIKE:
        there, drawn = f"{page.shape[1]} x {page.shape[0]}", f"{size[0]} x {size[1]}"
        raise ImageError(f"{image}: is {there} pixels, and its lines were drawn on {drawn}", "not_a_line")
    left, top, right, bottom = (round(side * scale) for side, scale in zip(box, (across, down) * 2, strict=True))
    part = page[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if not part.size:
        raise ImageError(f"{image}: the line {box} lies outside the picture", "not_a_line")
    buffer = io.BytesIO()
    Image.fromarray(part).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
