"""One growing output file that survives kills: rows, and a journal of what is in it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrformer.outputs import as_row, header
from ocrformer.sources import Item, is_url, remote
from ocrformer.transcribe import Result, stamp


class OutputError(ValueError):
    """An output that cannot be written, in one sentence."""


class JournalWriter:
    """Rows appended to one file, with a journal beside it that says which items are in it.

    The journal `FILE.journal` has a line `[name, size, modified, end]` per finished item, written once the rows up to
    byte `end` of the file are on disk. What lies beyond the last `end` is half-written and is cut off on resuming;
    rows of items that have changed since are dropped when their new rows are there.
    """

    def __init__(self, path: Path, form: str, *, resume: bool, characters: bool = False) -> None:
        self.path, self.form, self.characters = path, form, characters
        self.journal = path.with_name(path.name + ".journal")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (resume and path.exists()):
            self.journal.write_bytes(b"")
            path.write_text(header(form), "utf-8")
        self._entries: list[tuple[str, int, int, int]] = []
        self._recover()
        self._done = {name: (size, modified) for name, size, modified, _ in self._entries}
        self._rows = path.open("ab")
        self._notes = self.journal.open("ab")

    def is_done(self, item: Item) -> bool:
        """Whether the very same version of the item is in the file."""
        return self._done.get(item.name) == (item.size, item.modified)

    def write(self, results: Sequence[Result]) -> None:
        """Append rows, then note their items, each forced to disk."""
        end = self._rows.tell()
        rows, notes = bytearray(), bytearray()
        for result in results:
            for row in result.rows:
                rows += as_row(row, self.form, characters=self.characters).encode()
            entry = (*stamp(result.item), end + len(rows))
            self._entries.append(entry)
            notes += _note(entry)
        _append(self._rows, rows)
        _append(self._notes, notes)

    def close(self) -> None:
        """Drop rows that newer ones replace."""
        self._rows.close()
        self._notes.close()
        self._drop_stale()

    def _recover(self) -> None:
        """Finished items of the journal; the file is cut after the last of them."""
        if not self.journal.exists():
            raise OutputError(f"{self.path}: cannot resume without {self.journal.name}; use --overwrite to start anew")
        size = self.path.stat().st_size
        for line in self.journal.read_bytes().splitlines(keepends=True):
            entry = tuple(json.loads(line)) if line.endswith(b"\n") else None
            if entry is None or entry[3] > size:
                break  # half-written
            self._entries.append(entry)
        os.truncate(self.path, self._entries[-1][3] if self._entries else len(header(self.form).encode()))
        self.journal.write_bytes(b"".join(map(_note, self._entries)))
        self._drop_stale()

    def _drop_stale(self) -> None:
        newest = {entry[0]: index for index, entry in enumerate(self._entries)}
        if len(newest) == len(self._entries):
            return
        content = self.path.read_bytes()
        start = len(header(self.form).encode())
        kept, entries = bytearray(content[:start]), []
        for index, (name, size, modified, end) in enumerate(self._entries):
            if newest[name] == index:
                kept += content[start:end]
                entries.append((name, size, modified, len(kept)))
            start = end
        self._entries = entries
        put(str(self.path), bytes(kept))
        put(str(self.journal), b"".join(map(_note, entries)))


def put(target: str, content: str | bytes) -> None:
    """Write a whole file or object at once; a local file appears complete or not at all."""
    data = content.encode() if isinstance(content, str) else content
    if is_url(target):
        filesystem, name = remote(target)
        filesystem.makedirs(filesystem._parent(name), exist_ok=True)
        filesystem.pipe_file(name, data)
        return
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(data)
    partial.replace(path)


def _note(entry: tuple[str, int, int, int]) -> bytes:
    return (json.dumps(entry) + "\n").encode()


def _append(file: Any, data: bytes | bytearray) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
