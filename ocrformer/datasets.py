"""Labelled lines on disk, in the formats that line recognisers use.

`.gt.txt` pairs (tesstrain, kraken, Calamari, OCRopus), TSV / CSV / JSON lines that name images as results do,
Hugging Face imagefolder `metadata.jsonl|csv`, STR LMDB, PAGE and ALTO XML with line coordinates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from ocrformer import layout_xml
from ocrformer.image import ImageError, Pixels, load
from ocrformer.label_tables import DatasetError as DatasetError
from ocrformer.label_tables import csv_rows, json_rows, tab_rows
from ocrformer.magic import ENDINGS
from ocrformer.remote import is_url
from ocrformer.sources import is_there, open_picture

_TABLES = ("labels.tsv", "labels.csv", "labels.jsonl", "metadata.jsonl", "metadata.csv", "gt.txt", "labels.txt")
_ENDINGS = (*ENDINGS, ".bin.png", ".nrm.png", *map(str.upper, ENDINGS))


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
    open: Callable[[], Pixels]  # can be pickled: where processes are not forked, loaders send it to theirs


def load_samples(place: str | Path) -> list[Sample]:
    """Labelled lines of a folder, a table, an LMDB or an XML file; pictures are opened when they are needed.

    Raises:
        DatasetError: If nothing labelled is found, or a label file is malformed.
    """
    path = Path(place)
    try:
        if path.is_dir():
            samples = _folder(path)
        elif path.suffix.lower() == ".xml":
            samples = _xml(path)
        elif path.is_file():
            samples = _table(path)
        else:
            raise DatasetError(f"{path}: no such file or folder")
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot read labels ({error.strerror})") from None
    if not samples:
        kinds = "labels.tsv, metadata.jsonl, *.gt.txt, data.mdb, PAGE or ALTO"
        raise DatasetError(f"{path}: no labelled lines found (looked for {kinds})")
    for sample in samples:
        if any("\ud800" <= character <= "\udfff" for character in sample.text):
            raise DatasetError(f"{sample.name}: its label is no valid text (half of a surrogate pair)")
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
    head = stem.rstrip("0123456789").rstrip("_-")
    return f"{path.parent}/{head or stem[:-3] or stem}"


def _file_sample(image: Path | str, text: str) -> Sample:
    return Sample(str(image), text, _document(str(image)), partial(open_picture, str(image)))


def _pair(label: Path) -> Sample:
    """A `.gt.txt` file and its picture: same name with an image ending, `.bin.png` and `.nrm.png` included."""
    base = label.name.removesuffix(".gt.txt")
    image = next((label.with_name(base + end) for end in _ENDINGS if label.with_name(base + end).is_file()), None)
    if image is None:
        raise DatasetError(f"{label}: no picture {base}.png (.jpg, .tif, .bin.png, ...) beside it")
    try:
        return _file_sample(image, label.read_text("utf-8").strip("\r\n"))
    except UnicodeDecodeError:
        raise DatasetError(f"{label}: not UTF-8 text") from None


def _table(table: Path) -> list[Sample]:
    try:
        content = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{table}: not UTF-8 text") from None
    rows = {".jsonl": json_rows, ".csv": csv_rows}.get(table.suffix.lower(), tab_rows)
    found = rows(table, content)
    return [_file_sample(_named_in(table, name), text) for name, text in found]


def _named_in(table: Path, name: str) -> Path | str:
    """A picture beside the table, or else from where the program runs, as results name it."""
    beside = table.parent / name
    return name if is_url(name) or (is_there(name) and not is_there(str(beside))) else beside


def _lmdb(folder: Path) -> list[Sample]:
    """STR benchmarks' layout: `num-samples`, `image-%09d`, `label-%09d`, counted from 1; nothing is held in memory."""
    place = folder.resolve()

    def sample(index: int) -> Sample:
        name = f"{folder}#{index}"
        label = _lmdb_value(place, f"label-{index:09d}")
        if label is None:
            raise DatasetError(f"{folder}: key label-{index:09d} is missing")
        return Sample(name, label.decode("utf-8"), name, partial(_lmdb_picture, place, index, name))

    number = _lmdb_value(place, "num-samples") or b""
    if not number.isdigit():
        raise DatasetError(f"{folder}: num-samples must be a number, found {number[:20]!r}")
    try:
        return [sample(index) for index in range(1, int(number) + 1)]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{folder}: a label is not UTF-8 text ({error})") from None


def _lmdb_picture(folder: Path, index: int, name: str) -> Pixels:
    content = _lmdb_value(folder, f"image-{index:09d}")
    if content is None:
        raise ImageError(f"{name}: key image-{index:09d} is missing", "unreadable_file")
    return load(content, name=name)


def _lmdb_value(folder: Path, key: str) -> bytes | None:
    with _lmdb_environment(folder).begin() as transaction:
        value: bytes | None = transaction.get(key.encode())
    return value


@cache
def _lmdb_environment(folder: Path) -> Any:
    """An opened LMDB; a process may open each only once."""
    try:
        import lmdb
    except ImportError:
        raise DatasetError(f"{folder}: LMDB needs one more package: pip install 'ocrformer[train]'") from None
    try:
        return lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise DatasetError(f"{folder}: not a readable LMDB ({error})") from None


def _xml(path: Path) -> list[Sample]:
    """Lines of a PAGE or ALTO file, cut from the page picture that it names."""
    try:
        name, lines = layout_xml.labelled_lines(path)
    except (ValueError, IndexError, OverflowError) as error:
        raise DatasetError(f"{path}: the places of its lines cannot be used ({error})") from None
    except (ET.ParseError, LookupError, OSError) as error:  # LookupError: an encoding that nobody knows
        raise DatasetError(f"{path}: not a readable XML file ({error})") from None
    if not lines:
        return []
    image = _beside(path, name)
    return [
        Sample(f"{image}#{number}", text, str(image), partial(layout_xml.cut, image, box))
        for number, (text, box) in enumerate(lines, 1)
        if text
    ]


def _beside(xml: Path, name: str) -> Path:
    """The page picture, beside the XML file or in the folder above (PAGE files often lie in `page/`), or as named."""
    for place in (xml.parent / name, xml.parent.parent / name, Path(name), xml.parent / Path(name).name):
        if name and is_there(str(place)):
            return place
    raise DatasetError(f"{xml}: the page picture {name!r} is neither beside it nor in the folder above")
