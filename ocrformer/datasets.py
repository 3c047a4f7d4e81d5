"""Labelled lines on disk, in the formats that line recognisers use.

`.gt.txt` pairs (tesstrain, kraken, Calamari, OCRopus), TSV / CSV / JSON lines with image paths, Hugging Face
imagefolder `metadata.jsonl|csv`, STR LMDB, PAGE and ALTO XML with line coordinates.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ocrformer import layout_xml
from ocrformer.image import Pixels, load

_IMAGE_KEYS = ("file_name", "file", "image", "filename", "path")
_TEXT_KEYS = ("text", "label", "transcription", "ground_truth", "gt")
_TABLES = ("labels.tsv", "labels.csv", "labels.jsonl", "metadata.jsonl", "metadata.csv", "gt.txt", "labels.txt")
_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".bin.png", ".nrm.png")


class DatasetError(ValueError):
    """A data set that cannot be used, in one sentence."""


@dataclass(frozen=True)
class Sample:
    """One labelled line.

    Attributes:
        name: Where it is, for people.
        text: Its label, as written.
        document: What it was cut from; samples of a document must not be divided between training and testing.
        open: Gives the grey picture (H, W), or raises `ImageError`.
    """

    name: str
    text: str
    document: str
    open: Callable[[], Pixels]


def load_samples(place: str | Path) -> list[Sample]:
    """Labelled lines of a folder, a table, an LMDB or an XML file; pictures are opened when they are needed.

    Raises:
        DatasetError: If nothing labelled is found, or a label file is malformed.
    """
    path = Path(place)
    if path.is_dir():
        samples = _folder(path)
    elif path.suffix.lower() == ".xml":
        samples = _xml(path)
    elif path.is_file():
        samples = _table(path)
    else:
        raise DatasetError(f"{path}: no such file or folder")
    if not samples:
        kinds = "labels.tsv, metadata.jsonl, *.gt.txt, data.mdb, PAGE or ALTO"
        raise DatasetError(f"{path}: no labelled lines found (looked for {kinds})")
    return samples


def _folder(folder: Path) -> list[Sample]:
    if (folder / "data.mdb").is_file():
        return _lmdb(folder)
    tables = [folder / name for name in _TABLES if (folder / name).is_file()]
    if tables:
        return _table(tables[0])
    pairs = sorted(folder.rglob("*.gt.txt"))
    if pairs:
        return [_pair(path) for path in pairs]
    pages = [path for path in sorted(folder.rglob("*.xml")) if path.is_file()]
    if pages:
        return [sample for page in pages for sample in _xml(page)]
    inner = [path for path in sorted(folder.rglob("metadata.*")) if path.name in _TABLES]
    return [sample for table in inner for sample in _table(table)]


def _document(name: str) -> str:
    """What a line was cut from, by the usual naming: a folder, or the part before the last number."""
    path = Path(name)
    stem = path.name.split(".")[0]
    head = stem.rstrip("0123456789abcdef").rstrip("_-")
    return f"{path.parent}/{head or stem[:-3] or stem}"


def _file_sample(image: Path, text: str) -> Sample:
    return Sample(str(image), text, _document(str(image)), lambda: load(image))


def _pair(label: Path) -> Sample:
    """A `.gt.txt` file and its picture: same name with an image ending, `.bin.png` and `.nrm.png` included."""
    base = label.name.removesuffix(".gt.txt")
    image = next((label.with_name(base + end) for end in _IMAGES if label.with_name(base + end).is_file()), None)
    if image is None:
        raise DatasetError(f"{label}: no picture {base}.png (.jpg, .tif, .bin.png, ...) beside it")
    try:
        return _file_sample(image, label.read_text("utf-8").strip("\r\n"))
    except UnicodeDecodeError:
        raise DatasetError(f"{label}: not UTF-8 text") from None


def _table(table: Path) -> list[Sample]:
    try:
        content = table.read_text("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{table}: cannot read labels ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{table}: not UTF-8 text") from None
    rows = {".jsonl": _json_rows, ".csv": _csv_rows}.get(table.suffix.lower(), _tab_rows)
    return [_file_sample(table.parent / name, text) for name, text in rows(table, content)]


def _tab_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    """`file<TAB>text`; no quoting, so that a text may begin with a quotation mark; further tabs belong to the text."""
    for number, line in enumerate(content.splitlines(), 1):
        name, tab, text = line.partition("\t")
        if not tab:
            raise DatasetError(f"{table}:{number}: expected file<TAB>text, found {line[:60]!r}")
        if number > 1 or (name, text) not in {("file", "text"), ("file_name", "text"), ("filename", "text")}:
            yield name, text


def _csv_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    rows = list(csv.reader(content.splitlines()))
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    name, text = _column(heading, _IMAGE_KEYS), _column(heading, _TEXT_KEYS)
    body = enumerate(rows[1:], 2) if name is not None and text is not None else enumerate(rows, 1)
    for number, row in body:
        if len(row) <= max(name or 0, text if text is not None else 1):
            raise DatasetError(f"{table}:{number}: expected a file and a text, found {row!r}")
        yield row[name or 0], row[text if text is not None else 1]


def _column(heading: Sequence[str], names: Sequence[str]) -> int | None:
    return next((heading.index(name) for name in names if name in heading), None)


def _json_rows(table: Path, content: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record: Any = json.loads(line)
            name = next(record[key] for key in _IMAGE_KEYS if key in record)
            text = next(record[key] for key in _TEXT_KEYS if key in record)
        except (ValueError, TypeError, StopIteration):
            keys = f"{' or '.join(_IMAGE_KEYS[:2])} and {' or '.join(_TEXT_KEYS[:2])}"
            raise DatasetError(f"{table}:{number}: expected an object with {keys}") from None
        yield str(name), str(text)


def _lmdb(folder: Path) -> list[Sample]:
    """STR benchmarks' layout: `num-samples`, `image-%09d`, `label-%09d`, counted from 1; nothing is held in memory."""
    try:
        import lmdb
    except ImportError:
        raise DatasetError(f"{folder}: LMDB needs one more package: pip install 'ocrformer[train]'") from None
    environment = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)

    def read(key: str) -> bytes:
        with environment.begin() as transaction:
            value: bytes | None = transaction.get(key.encode())
        if value is None:
            raise DatasetError(f"{folder}: key {key} is missing")
        return value

    def sample(index: int) -> Sample:
        name = f"{folder}#{index}"
        picture = f"image-{index:09d}"
        return Sample(name, read(f"label-{index:09d}").decode("utf-8"), name, lambda: load(read(picture), name=name))

    return [sample(index) for index in range(1, int(read("num-samples")) + 1)]


def _xml(path: Path) -> list[Sample]:
    """Lines of a PAGE or ALTO file, cut from the page picture that it names."""
    try:
        name, lines = layout_xml.labelled_lines(path)
    except (ET.ParseError, OSError) as error:
        raise DatasetError(f"{path}: not a readable XML file ({error})") from None
    if not lines:
        return []
    image = _beside(path, name)
    return [
        Sample(f"{image}#{number}", text, str(image), layout_xml.cutter(image, box))
        for number, (text, box) in enumerate(lines, 1)
        if text
    ]


def _beside(xml: Path, name: str) -> Path:
    """The page picture, beside the XML file or in the folder above (PAGE files often lie in `page/`)."""
    for folder in (xml.parent, xml.parent.parent):
        if (folder / name).is_file():
            return folder / name
    raise DatasetError(f"{xml}: the page picture {name!r} is neither beside it nor in the folder above")
