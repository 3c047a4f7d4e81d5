"""Labelled lines on disk, in the formats that line recognisers use.

`.gt.txt` pairs (tesstrain, kraken, Calamari, OCRopus), TSV / CSV / JSON (lines) that name images as results do,
Hugging Face imagefolder `metadata.jsonl|csv`, STR LMDB, PAGE and ALTO XML with line coordinates.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PureWindowsPath
from unicodedata import normalize
from xml.etree import ElementTree as ET

from ocrformer import layout_xml, lmdb_lines
from ocrformer.image import ImageError, Pixels
from ocrformer.label_tables import TABLES, array_rows, csv_rows, holds_labels, json_rows, tab_rows
from ocrformer.label_tables import DatasetError as DatasetError
from ocrformer.magic import ENDINGS
from ocrformer.remote import is_url
from ocrformer.sources import is_there, open_picture

logger = logging.getLogger(__name__)

_ENDINGS = (*ENDINGS, ".bin.png", ".nrm.png", *map(str.upper, ENDINGS))
_ENDING = re.compile(r"(\.(bin|nrm|gt))?\.[^.]*$")
_LAST_NUMBER = re.compile(r"[ _.-]*\d+\D*$")


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

    @property
    def identity(self) -> tuple[str, str]:
        """The same for the same label of the same picture, however its place is spelt."""
        return os.path.realpath(self.name), self.text


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
    names = {path.name.lower(): path for path in folder.glob("[!.]*") if path.is_file()}
    pairs = [path for name, path in names.items() if name.endswith(".gt.txt")]
    tables = _tables_of([path for name, path in names.items() if name in TABLES], pairs)
    if tables:
        _tell_unused(_labels_below(folder), tables[0])
        return _table(tables[0])
    files = list(_files(folder))
    pairs = [path for path in files if path.name.lower().endswith(".gt.txt")]
    tables = [path for path in files if path.name.lower() in TABLES]
    if pairs:
        _tell_unused(tables, pairs[0])
        return [_pair(path) for path in pairs]
    lines = _pages([path for path in files if path.suffix.lower() == ".xml"])
    if lines:
        _tell_unused(tables, Path(lines[0].document))
        return lines
    return [sample for path in _tables_of(tables) for sample in _table(path)]


def _labels_below(folder: Path) -> list[Path]:
    """Files with labels in the folders of a folder, as far as these can be read."""
    with suppress(OSError):
        below = folder.glob("[!.]*/**/[!.]*")
        return sorted(path for path in below if holds_labels(path.name))
    return []


def _tables_of(tables: Iterable[Path], pairs: Sequence[Path] = ()) -> list[Path]:
    """One table of each folder, the first in the order of `TABLES`; the others mostly hold the same lines again."""
    best: dict[Path, list[Path]] = {}
    for path in sorted(tables, key=lambda path: TABLES.index(path.name.lower())):
        best.setdefault(path.parent, []).append(path)
    for first, *others in best.values():
        _tell_unused([*others, *pairs], first)
    return [paths[0] for _, paths in sorted(best.items())]


def _tell_unused(files: Sequence[Path], used: Path) -> None:
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        logger.warning("%s: its lines are not used, as %s is there; name it to use it", f"{files[0]}{more}", used.name)


def _pages(files: Sequence[Path]) -> list[Sample]:
    """Lines of XML files, of each page once: many programs write the same page as ALTO and as PAGE."""
    pages: dict[str, list[Sample]] = {}
    for path in files:
        lines = _xml(path)
        if lines and lines[0].document in pages:
            logger.warning("%s: passed over, as another file has lines of %s", path, lines[0].document)
        elif lines:
            pages[lines[0].document] = lines
    return [line for lines in pages.values() for line in lines]


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
    """What a line was cut from, by the usual naming: the part before the last number, or else a folder."""
    file, _, page = name.rpartition("#")
    path = Path(file if page.isdigit() else name)
    stem = _ENDING.sub("", path.name)
    head = stem if page.isdigit() else _LAST_NUMBER.sub("", stem)
    return f"{path.parent}/{head or stem[:-3]}"


def _file_sample(image: Path | str, text: str) -> Sample:
    return Sample(str(image), text, _document(str(image)), partial(open_picture, str(image)))


def _pair(label: Path) -> Sample:
    """A `.gt.txt` file and its picture: same name with an image ending, `.bin.png` and `.nrm.png` included."""
    base = label.name[: -len(".gt.txt")]  # in whatever case
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
        wrong = "not UTF-8 text: save it as UTF-8"
        what = "a picture: name its table or folder" if path.suffix.lower() in ENDINGS else wrong
        raise DatasetError(f"{path}: {what}") from None


def _table(table: Path) -> list[Sample]:
    if table.name == "data.mdb":
        return _lmdb(table.parent)
    content = _utf8(table, "utf-8-sig")
    formats = {".jsonl": json_rows, ".json": array_rows, ".csv": csv_rows}
    found = formats.get(table.suffix.lower(), tab_rows)(table, content)
    return [_file_sample(_named_in(table, name), text) for name, text in found]


def _named_in(table: Path, name: str) -> Path | str:
    """A picture beside the table, or else from where the program runs, as results name it."""
    beside = table.parent / name
    if is_url(name) or is_there(str(beside)):
        return name if is_url(name) else beside
    spelt = (table.parent / normalize(form, name.replace("\\", "/")) for form in ("NFC", "NFD"))  # by other systems
    return next((path for path in (Path(name), *spelt) if is_there(str(path))), beside)


def _lmdb(folder: Path) -> list[Sample]:
    """Each line a document of its own: the layout says nothing of where it was cut from."""
    place = folder.resolve()
    names = [(f"{folder}#{number}", text) for number, text in enumerate(lmdb_lines.labels(place, folder), 1)]
    return [
        Sample(name, text, name, partial(lmdb_lines.picture, place, number, name))
        for number, (name, text) in enumerate(names, 1)
    ]


def _xml(path: Path) -> list[Sample]:
    """Lines of a PAGE or ALTO file, cut from the page picture that it names."""
    try:
        name, size, lines = layout_xml.labelled_lines(path)
    except (ValueError, IndexError, OverflowError) as error:
        raise DatasetError(f"{path}: the places of its lines cannot be used ({error})") from None
    except (ET.ParseError, LookupError, RecursionError, OSError) as error:  # LookupError: an encoding nobody knows
        raise DatasetError(f"{path}: not a readable XML file ({error})") from None
    if not lines:
        return []
    image = _beside(path, name)
    return [
        Sample(f"{image}#{number}", text, str(image), partial(layout_xml.cut, image, size, box))
        for number, (text, box) in enumerate(lines, 1)
        if text
    ]


def _beside(xml: Path, name: str) -> Path:
    """The page picture, beside the XML file or in the folder above (PAGE files often lie in `page/`), or as named."""
    name = name.strip()
    last = PureWindowsPath(name).name  # knows both kinds of slashes
    for place in (xml.parent / name, xml.parent.parent / name, Path(name), xml.parent / last, xml.parent.parent / last):
        if name and is_there(str(place)):
            return place
    raise DatasetError(f"{xml}: the page picture {name!r} is neither beside it nor in the folder above")
