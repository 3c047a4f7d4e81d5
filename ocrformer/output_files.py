"""Files and objects that a command writes whole: whether they may be written, and writing them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ocrformer.archives import is_tar, is_zip
from ocrformer.magic import looks_like_image
from ocrformer.remote import as_oserror, content, is_url, on_disk, remote

_NO_NEW_FILE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY)
"""How folders refuse new files where one that is there may be written, as one file shared with a container."""


class OutputError(ValueError):
    """An output that cannot be written, in one sentence."""


def make_ready(target: str) -> None:
    """Make the folder of an output file.

    Raises:
        OutputError: If no file can be written there.
    """
    path = Path(target)
    if is_url(target):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"{target}: is a folder; name a file in it")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise OutputError(f"{target}: no permission to write there")
    except OSError as error:
        raise OutputError(f"{target}: cannot write there ({error.strerror})") from None


def occupied(target: str) -> bool:
    """Whether there is a file or object of that name.

    Raises:
        OutputError: If that cannot be found out.
    """
    if not is_url(target):
        return Path(target).is_file()
    filesystem, name = remote(target)
    try:
        with as_oserror():
            return bool(filesystem.isfile(name))
    except OSError as error:
        raise OutputError(f"{target}: cannot look there ({error.strerror or error})") from None


def put(target: str, content: str | bytes) -> None:
    """Write a whole file or object at once; local files appear complete or not at all, in folders that take new ones.

    Raises:
        OutputError: If it cannot be written.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        if is_url(target):
            filesystem, name = remote(target)
            with as_oserror():
                filesystem.makedirs(filesystem._parent(name), exist_ok=True)
                filesystem.pipe_file(name, data)
            return
        make_ready(target)
        path = Path(os.path.realpath(target))  # a link goes on pointing where it does
        if path.exists() and not path.is_file():
            path.write_bytes(data)  # a device or a pipe
            return
        partial = path.with_name(path.name + ".part")
        try:
            partial.write_bytes(data)
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            if error.errno not in _NO_NEW_FILE or not path.is_file():
                raise
            path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{target}: cannot write there ({error.strerror or error})") from None


def spare(target: str) -> None:
    """Leave pictures and archives alone, which are there to be read.

    Raises:
        OutputError: If the target is one.
    """
    if not occupied(target):
        return
    place = on_disk(target)
    head = content(place, 512) if is_url(place) else _head(place)
    if looks_like_image(head) or is_zip(head) or (not is_url(place) and is_tar(place, head)):
        raise OutputError(f"{target}: is a picture or an archive; name another file")


def _head(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(512)
