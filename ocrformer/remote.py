"""Storage that an fsspec driver knows (`s3://`, `https://`, `memory://`, ...): what there is, and its content."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


class SourceError(ValueError):
    """An input that cannot be listed, in one sentence."""


@dataclass(frozen=True)
class Found:
    """An object in storage.

    Attributes:
        name: Its URL.
        relative: Name below the URL that was asked for; empty for that URL itself.
        size: Bytes.
        modified: Time of its last change, nanoseconds since 1970.
    """

    name: str
    relative: str
    size: int
    modified: int


def is_url(name: str) -> bool:
    """Whether a name is for remote storage rather than a path."""
    return "://" in name


def on_disk(name: str) -> str:
    """The path that a `file://` or `local://` URL stands for; every other name as it is."""
    if not name.startswith(("file://", "local://")) or "::" in name:
        return name
    return str(remote(name)[1])


def remote(url: str) -> tuple[Any, str]:
    """File system and path of a URL.

    Raises:
        SourceError: If its driver is not installed or refuses.
    """
    import fsspec  # torch brings it; most runs have no URLs

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except Exception as error:  # noqa: BLE001 - drivers connect here, and raise whatever their libraries do
        raise SourceError(f"{url}: cannot open this kind of storage ({error})") from None
    return filesystem, path


def content(url: str, most: int | None = None) -> bytes:
    """An object, or its first bytes.

    Raises:
        OSError: If it cannot be read.
    """
    filesystem, path = remote(url)
    with as_oserror():
        data: bytes = filesystem.cat_file(path, 0, most) if most else filesystem.cat_file(path)
    return data


def listed(url: str, *, recursive: bool) -> list[Found]:
    """The object of that URL, or what there is below it, sorted by name.

    Raises:
        OSError: If it cannot be listed.
    """
    filesystem, path = remote(url)
    with as_oserror():
        if filesystem.isdir(path):
            facts = sorted(filesystem.find(path, maxdepth=None if recursive else 1, detail=True).items())
        else:
            facts = [(path, filesystem.info(path))]
    found = []
    for name, of in facts:
        relative = name.removeprefix(path).lstrip("/")
        address = _below(url, relative) if name.startswith(path) else filesystem.unstrip_protocol(name)
        found.append(Found(address, relative, int(of.get("size") or 0), _modified(of)))
    return found


def _below(url: str, relative: str) -> str:
    """URL of what lies below another, with its host and all storage that it lies in (`zip://folder::s3://...`)."""
    outer, chain, inner = url.partition("::")
    between = "/" if relative and not outer.endswith("/") else ""
    return f"{outer}{between}{relative}{chain}{inner}"


@contextmanager
def as_oserror() -> Iterator[None]:
    """Drivers raise whatever their libraries do: an HTTP status is an error of its own kind."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001
        raise OSError(errno.EIO, str(error) or type(error).__name__) from None


def _modified(facts: dict[str, Any]) -> int:
    """Nanoseconds since 1970 of whatever a storage driver calls the time of change."""
    stamp = next((facts[key] for key in ("mtime", "LastModified", "updated", "created") if facts.get(key)), 0)
    seconds = stamp.timestamp() if hasattr(stamp, "timestamp") else stamp
    return int(seconds * 1_000_000_000) if isinstance(seconds, int | float) else 0
