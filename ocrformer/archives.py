"""Zip and tar archives: known by content, read member by member, whatever is damaged in them."""

from __future__ import annotations

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from posixpath import normpath
from typing import BinaryIO

ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zip", ".cbz")
"""Endings of archives, where a name must do; elsewhere the content decides."""
_MAX_MEMBER = 256 * 1024 * 1024  # bytes of one member, against archives that inflate without end
_TOO_LARGE = f"larger than {_MAX_MEMBER >> 20} MB"
DAMAGE = (
    OSError,
    EOFError,
    zipfile.BadZipFile,
    tarfile.TarError,
    RuntimeError,
    ValueError,
    zlib.error,
    lzma.LZMAError,
    IndexError,  # of zipfile, where a member has no name
)
"""What reading a damaged archive may raise."""


def is_zip(head: bytes) -> bool:
    """Whether a file that begins so is a zip archive."""
    return head[:4] in (b"PK\3\4", b"PK\5\6")


def is_tar(path: str, head: bytes, content: BinaryIO | None = None) -> bool:
    """Whether a file, or the `content` of a pipe, is a tar archive, compressed or not; `head` are its first bytes."""
    compressed = head[:2] == b"\x1f\x8b" or head[:3] == b"BZh" or head[:6] == b"\xfd7zXZ\0"
    if not (compressed or path.endswith(".tar") or head[257:262] == b"ustar"):
        return False
    try:
        return tarfile.is_tarfile(content or path)
    except DAMAGE:
        return True  # whoever reads its members says what is wrong


def zip_members(path: str) -> Iterator[tuple[str, bytes | str]]:
    """Name and content of each member, or why there is none."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield member.filename, _zip_content(archive, member)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | str:
    if member.flag_bits & 1:
        return "encrypted; unpack the archive with its password first"
    if member.file_size > _MAX_MEMBER:
        return _TOO_LARGE
    try:
        return archive.read(member)
    except DAMAGE as error:
        return f"damaged in its archive ({error})"


class _Member(tarfile.TarInfo):
    """A member after which a damaged or missing header is an error, not the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        """The next member."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the end as it should be
                raise
            raise tarfile.ReadError(f"bad header: {error}") from None


def tar_members(path: str) -> Iterator[tuple[str, bytes | str]]:
    """As `zip_members`."""
    with tarfile.open(path, tarinfo=_Member) as archive:
        for member in archive:
            content = _tar_content(archive, member)
            if content is not None:
                yield member.name, content


def _tar_content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | str | None:
    try:
        file = archive.extractfile(member)  # of a link, what it leads to; None for folders and devices
    except (KeyError, RecursionError):
        return f"a link to {member.linkname}, which is not in the archive"
    content = file.read(_MAX_MEMBER + 1) if file is not None else None
    return _TOO_LARGE if content is not None and len(content) > _MAX_MEMBER else content


def member(path: str, name: str) -> bytes | str | None:
    """Content of one member, or why it cannot be read; None if there is no such member."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
        if not is_zip(head):
            with tarfile.open(path, tarinfo=_Member) as tar:
                return next((_tar_content(tar, one) for one in tar if normpath(one.name) == name), None)
        archive, members = _opened(path, Path(path).stat().st_mtime_ns, os.getpid())
        return _zip_content(archive, members[name]) if name in members else None
    except DAMAGE as error:
        return f"damaged archive ({error})"


@lru_cache(maxsize=4)
def _opened(path: str, modified: int, process: int) -> tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]:
    """A zip archive and its members, kept open: labels name one after the other; processes must not share a file."""
    del modified, process
    archive = zipfile.ZipFile(path)
    return archive, {normpath(one.filename): one for one in reversed(archive.infolist())}
