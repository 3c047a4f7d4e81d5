"""Where images come from: files, folders, globs, lists, archives, remote storage; found by content, not by name."""

from __future__ import annotations

import glob
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ocrformer.archives import ARCHIVES, DAMAGE, is_tar, is_zip, member, tar_members, zip_members
from ocrformer.image import MAX_PIXELS, ImageError, Pixels, load, load_pages
from ocrformer.magic import ENDINGS, looks_like_image
from ocrformer.remote import SourceError, content, is_url, listed

_HEAD = 512  # bytes of a file that tell its kind
_MOST = 256 * 1024 * 1024  # bytes that are read from a pipe


@dataclass(frozen=True)
class Item:
    """One file, or one member of an archive, that may hold pictures.

    Attributes:
        name: As given or found; members are `archive/member`.
        relative: Name below the folder that was given, for mirroring its tree.
        size: Bytes of the file (of the archive, for members).
        modified: Time of its last change, nanoseconds since 1970.
        data: Content of an archive member; plain files are read when they are needed.
        error: Why there is no content, if there is none.
    """

    name: str
    relative: str
    size: int = 0
    modified: int = 0
    data: bytes | None = None
    error: str | None = None

    def content(self) -> bytes:
        """The encoded picture.

        Raises:
            OSError: If the file cannot be read.
        """
        if self.data is not None:
            return self.data
        return content(self.name) if is_url(self.name) else Path(self.name).read_bytes()


PassOver = Callable[[str], object]
"""Told of each file that is no item."""


def find(places: Iterable[str], *, recursive: bool = False, pass_over: PassOver = lambda _: None) -> Iterator[Item]:
    """Items of all places, in order; what a folder holds sorted by name.

    A file that is named is always an item, even if it is no picture; in folders and archives what neither begins like a
    picture nor is called like one is passed over, and what is hidden left out. A place that does not exist, a folder
    that cannot be listed and a URL that cannot be opened are items with the reason.
    """
    for item in _found(places, recursive):
        if isinstance(item, Item):
            yield item
        else:
            pass_over(item)


def _found(places: Iterable[str], recursive: bool) -> Iterator[Item | str]:
    """Items, and names of what is passed over."""
    for place in places:
        if is_url(place):
            try:
                yield from _find_remote(place, recursive)
            except SourceError as error:
                yield Item(place, Path(place).name, error=str(error))
            except OSError as error:
                reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror or error
                yield Item(place, Path(place).name, error=f"{place}: cannot read ({reason})")
        elif is_folder(place):
            for path in _walk(place, recursive):
                if isinstance(path, Item):
                    yield path
                else:
                    yield from _expand(path, os.path.relpath(path, place), named=False)
        elif exists(place):
            for path in _named(place):
                yield from _expand(path, Path(path).name, named=True)
        else:
            yield Item(place, Path(place).name, error=f"{place or repr(place)}: no such file or folder")


def exists(place: str) -> bool:
    """Whether there is a file or folder of that name, or one that matches the glob."""
    return is_url(place) or os.path.lexists(place) or bool(_named(place))


def is_folder(place: str) -> bool:
    """As `Path.is_dir`, but False as well where the way there is closed."""
    return os.path.isdir(place)  # noqa: PTH112 - pathlib raises


def is_file(place: str) -> bool:
    """As `Path.is_file`, but False as well where the way there is closed or the name is too long."""
    return os.path.isfile(place)  # noqa: PTH113 - pathlib raises


def _named(place: str) -> list[str]:
    if os.path.lexists(place):
        return [place]
    matches = sorted(glob.glob(place, recursive=True)) if glob.has_magic(place) else []  # noqa: PTH207 - pathlib cannot glob absolute patterns
    files = [match for match in matches if not is_folder(match)]
    once = {os.path.realpath(file): file for file in reversed(files)}  # links to folders lead `**` in circles
    return files if "**" not in place else list(once.values())[::-1]


def _walk(folder: str, recursive: bool) -> Iterator[str | Item]:
    """Files of a folder sorted by name, hidden ones left out; folders after files."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Item(folder, folder, error=f"{folder}: cannot list folder ({error.strerror})")
        return
    visible = [entry for entry in entries if not entry.name.startswith(".")]
    yield from (entry.path for entry in visible if is_file(entry.path) or _leads_nowhere(entry.path))
    if recursive:
        for entry in visible:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, recursive)


def _leads_nowhere(path: str) -> bool:
    """Whether it is a link called like a picture whose file is gone."""
    return path.lower().endswith(ENDINGS) and os.path.lexists(path) and not os.path.exists(path)  # noqa: PTH110 - pathlib raises


def _expand(path: str, relative: str, *, named: bool) -> Iterator[Item | str]:
    try:
        status = Path(path).stat()
        regular = stat.S_ISREG(status.st_mode)
        with Path(path).open("rb") as file:
            head = file.read(_HEAD if regular else _MOST)  # a pipe can be read but once
    except OSError as error:
        yield Item(path, relative, error=f"{path}: cannot open file ({error.strerror})")
        return
    whole = Item(path, relative, status.st_size, status.st_mtime_ns, None if regular else head)
    if is_zip(head) or is_tar(path, head, None if regular else io.BytesIO(head)):
        if not regular:
            yield replace(whole, error=f"{path}: an archive cannot be read from a pipe; save it as a file")
            return
        yield from _members(whole, zip_members(path) if is_zip(head) else tar_members(path))
    else:
        yield whole if named or _is_picture(path, head) else path


def _is_picture(name: str, head: bytes) -> bool:
    return looks_like_image(head) or name.lower().endswith(ENDINGS)


def _members(archive: Item, contents: Iterator[tuple[str, bytes | str]]) -> Iterator[Item | str]:
    """Pictures of an archive in archive order, read here because compressed archives only read forwards."""
    path = archive.name
    try:
        for name, data in contents:
            if _is_hidden(name):
                continue
            inner = replace(archive, name=f"{path}/{name}", relative=f"{archive.relative}/{name}")
            if isinstance(data, str):  # why there is none; where a name has an ending, that tells what was lost
                lost = name.lower().endswith(ENDINGS) or not Path(name).suffix
                yield replace(inner, error=f"{path}/{name}: {data}") if lost else inner.name
            else:
                yield replace(inner, data=data) if _is_picture(name, data[:_HEAD]) else inner.name
    except DAMAGE as error:
        yield replace(archive, error=f"{path}: damaged archive, what follows in it is lost ({error})")


def _is_hidden(relative: str) -> bool:
    """Whether a name below a folder, URL or archive leads to something hidden, as what macOS adds to archives is."""
    return any(part.startswith(".") and part != ".." for part in Path(relative).parts)


def _find_remote(url: str, recursive: bool) -> Iterator[Item | str]:
    for found in listed(url, recursive=recursive):
        if _is_hidden(found.relative):  # never what is named itself
            continue
        item = Item(found.name, found.relative or Path(found.name).name, found.size, found.modified)
        try:
            head = content(found.name, _HEAD) if found.relative else b""  # what is named is looked at when it is read
            if is_zip(head) or found.name.partition("::")[0].lower().endswith(ARCHIVES):
                yield replace(item, error=f"{item.name}: archives are read from local files only; copy it here")
            else:
                yield item if not found.relative or _is_picture(found.name, head) else item.name
        except OSError as error:
            yield replace(item, error=f"{item.name}: cannot read ({error.strerror or error})")


def count(places: Iterable[str], *, recursive: bool = False) -> int | None:
    """About how many items `find` will give, for a progress bar; None where counting would mean reading everything."""
    total = 0
    for place in places:
        if is_url(place) or place.lower().endswith(ARCHIVES):
            return None
        total += sum(1 for _ in _walk(place, recursive)) if is_folder(place) else max(1, len(_named(place)))
    return total


def is_there(name: str) -> bool:
    """Whether there is a file on disk in which `open_picture` would look for a picture of that name."""
    base, mark, number = name.rpartition("#")
    names = (name, base) if mark and number.isdecimal() else (name,)
    return any(is_file(str(place)) for name in names for place in (name, *Path(name).parents))


def open_picture(name: str, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The picture (H, W) that rows of results call so: a file, `archive/member`, a page `scan.tif#2`, or a URL.

    Raises:
        ImageError: If it cannot be read.
    """
    if is_file(name):
        return load(name, max_pixels=max_pixels)
    base, mark, number = name.rpartition("#")
    paged = mark and number.isdecimal()
    data, page = None if paged and is_url(name) else _data(name), 1
    if data is None and paged:
        data, page = _data(base), int(number)
    if data is None:
        return load(name)  # which says that there is none
    found = next(load_pages(data, max_pixels=max_pixels, name=name, first=page - 1), None) if page else None
    if found is None:
        raise ImageError(f"{name}: there is no page {page}", "unreadable_file")
    return found


def _data(name: str) -> bytes | None:
    """A file, object or archive member of that very name."""
    if is_url(name) or is_file(name):
        try:
            return Item(name, name).content()
        except (OSError, SourceError) as error:
            raise ImageError(f"{name}: cannot read ({error})", "unreadable_file") from None
    archive = next((place for place in Path(name).parents if is_file(str(place))), None)
    if archive is None:
        return None
    data = member(str(archive), Path(name).relative_to(archive).as_posix())
    if isinstance(data, str):
        raise ImageError(f"{name}: {data}", "unreadable_file")
    return data
