"""Labelled lines in the layout of STR benchmarks: an LMDB with `num-samples`, `image-%09d`, `label-%09d`, from 1."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ocrformer.image import ImageError, Pixels, load
from ocrformer.label_tables import DatasetError


def labels(place: Path, folder: Path) -> list[str]:
    """Labels in order; pictures stay where they are.

    Args:
        place: Folder of the database.
        folder: The same, as people named it.

    Raises:
        DatasetError: If it is no such database, or a label is missing or no text.
    """
    number = _value(place, "num-samples") or b""
    if not number.isdigit():
        raise DatasetError(f"{folder}: num-samples must be a number, found {number[:20]!r}")
    return [_label(place, index, folder) for index in range(1, int(number) + 1)]


def _label(place: Path, index: int, folder: Path) -> str:
    label = _value(place, f"label-{index:09d}")
    if label is None:
        raise DatasetError(f"{folder}: key label-{index:09d} is missing")
    try:
        return label.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{folder}: label-{index:09d} is not UTF-8 text ({error})") from None


def picture(place: Path, index: int, name: str) -> Pixels:
    """The picture of a line.

    Raises:
        ImageError: If it is missing or cannot be read.
    """
    content = _value(place, f"image-{index:09d}")
    if content is None:
        raise ImageError(f"{name}: key image-{index:09d} is missing", "unreadable_file")
    return load(content, name=name)


def _value(folder: Path, key: str) -> bytes | None:
    with _environment(folder).begin() as transaction:
        value: bytes | None = transaction.get(key.encode())
    return value


@cache
def _environment(folder: Path) -> Any:
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
