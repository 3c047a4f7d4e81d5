"""Labelled lines on disk, in the formats that line recognisers use.

`.gt.txt` pairs (tesstrain, kraken, Calamari, OCRopus), TSV / CSV / JSON lines that name images as results do,
Hugging Face imagefolder `metadata.jsonl|csv`, STR LMDB, PAGE and ALTO XML with line coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PureWindowsPath
from typing import Any
from unicodedata import normalize
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
    if not str(place):
        raise DatasetError("a data set without a name: give a folder or a file")
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
    files = list(_files(folder))
    pairs = [path for path in files if path.name.endswith(".gt.txt")]
    if pairs:
        return [_pair(path) for path in pairs]
    lines = [sample for path in files if path.suffix == ".xml" for sample in _xml(path)]
    if lines:
        return lines
    inner = [path for path in files if path.name in _TABLES and path.stem == "metadata"]
    return [sample for table in inner for sample in _table(table)]


def _files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All files below a folder, but hidden ones, such as those that Macs put beside each file of an archive.

    Raises:
        OSError: If a folder cannot be read: half of a data set is none.
    """
    if folder.resolve() in above:  # links that lead in a circle
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _files(path, (*above, folder.resolve()))
        elif path.is_file():
            yield path


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
    text = _utf8(label, "utf-8").strip("\r\n")
    if image is None:
        return Sample(str(label), text, _document(str(label)), partial(_no_picture, str(label), base))
    return _file_sample(image, text)


def _no_picture(label: str, base: str) -> Pixels:
    raise ImageError(f"{label}: no picture {base}.png (.jpg, .tif, .bin.png, ...) beside it", "unreadable_file")


def _utf8(path: Path, encoding: str) -> str:
    try:
        return path.read_bytes().decode(encoding)
    except UnicodeDecodeError:
        picture = path.suffix.lower() in ENDINGS
        what = "a picture: name its table or folder" if picture else "not UTF-8 text: save it as UTF-8"
        raise DatasetError(f"{path}: {what}") from None


def _table(table: Path) -> list[Sample]:
    if table.name == "data.mdb":
        return _lmdb(table.parent)
    content = _utf8(table, "utf-8-sig")
    rows = {".jsonl": json_rows, ".csv": csv_rows}.get(table.suffix.lower(), tab_rows)
    found = rows(table, content)
    return [_file_sample(_named_in(table, name), text) for name, text in found]


def _named_in(table: Path, name: str) -> Path | str:
    """A picture beside the table, or else from where the program runs, as results name it."""
    beside = table.parent / name
    if is_url(name) or is_there(str(beside)):
        return name if is_url(name) else beside
    spelt = (table.parent / normalize(form, name.replace("\\", "/")) for form in ("NFC", "NFD"))  # by other systems
    return next((path for path in (Path(name), *spelt) if is_there(str(path))), beside)


def _lmdb(folder: Path) -> list[Sample]:
    """STR benchmarks' layout: `num-samples`, `image-%09d`, `label-%09d`, counted from 1; nothing is held in memory."""
    place = folder.resolve()

    def sample(index: int) -> Sample:
        name = f"{folder}#{index}"
        label = _lmdb_value(place, f"label-{index:09d}")
        if label is None:
            raise DatasetError(f"{folder}: key label-{index:09d} is missing")
        try:
            return Sample(name, label.decode("utf-8"), name, partial(_lmdb_picture, place, index, name))
        except UnicodeDecodeError as error:
            raise DatasetError(f"{folder}: label-{index:09d} is not UTF-8 text ({error})") from None

    number = _lmdb_value(place, "num-samples") or b""
    if not number.isdigit():
        raise DatasetError(f"{folder}: num-samples must be a number, found {number[:20]!r}")
    return [sample(index) for index in range(1, int(number) + 1)]


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
        opened = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise DatasetError(f"{folder}: not a readable LMDB ({error})") from None
    used, there = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"], (folder / "data.mdb").stat().st_size
    if used > there:  # reading beyond its end would kill the process
        raise DatasetError(f"{folder}: data.mdb is cut short ({there:,} of {used:,} bytes): copy it again")
    return opened


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
    name = name.strip()
    last = PureWindowsPath(name).name  # knows both kinds of slashes
    for place in (xml.parent / name, xml.parent.parent / name, Path(name), xml.parent / last):
        if name and is_there(str(place)):
            return place
    raise DatasetError(f"{xml}: the page picture {name!r} is neither beside it nor in the folder above")
