"""One growing output file that survives kills: rows, and a journal of what is in it."""

from __future__ import annotations

import itertools
import json
import os
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ocrformer.output_files import OutputError, make_ready, put
from ocrformer.outputs import as_row, header
from ocrformer.sources import Item
from ocrformer.transcribe import Result, Stamp, stamp

Entry = tuple[str, int, int, int, int, int]
"""A finished item: name, size, time of change, end of its rows in the file, their CRC-32, images of it that failed."""
_NEVER = (-1, -1)  # size and time of change of what could not be reached: on resuming it is not done


class JournalWriter:
    """Rows appended to one file, with a journal beside it that says which items are in it.

    The journal `FILE.journal` begins with the settings of the run; then it has a line per finished item, written once
    the rows up to byte `end` of the file are on disk. What lies beyond the last `end` is half-written and is cut off on
    resuming; rows of items that have changed since are dropped when their new rows are there.

    Args:
        path: The growing file.
        form: Its format.
        resume: Go on with a file that exists.
        characters: Add characters with boxes (JSON lines only).
        settings: What else decides the rows; a file begun with other settings is not gone on with.
    """

    resumable = True

    def __init__(
        self,
        path: Path,
        form: str,
        *,
        resume: bool,
        characters: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path, self.form, self.characters = path, form, characters
        self.journal = self.journal_of(path)
        self._next = path.with_name(self.journal.name + ".new")
        self.failed = 0
        self._settings = {"format": form, "characters": characters, **(settings or {})}
        self._entries: list[Entry] = []
        make_ready(str(path))
        self.resumed = resume and path.exists()
        if self.resumed:
            self._recover()
        else:
            self._write_journal(self.journal)  # first: a file without a journal cannot be gone on with
            put(str(path), header(form))
        self._done: dict[Stamp, list[Entry]] = defaultdict(list)
        for entry in self._entries:
            self._done[entry[:3]].append(entry)
        self._rows = path.open("ab")
        self._notes = self.journal.open("ab")

    @staticmethod
    def journal_of(path: Path) -> Path:
        """The journal of a growing file."""
        return path.with_name(path.name + ".journal")

    def admit(self, item: Item) -> Item:
        """Every item: rows may have equal names."""
        return item

    def is_done(self, item: Item) -> bool:
        """Whether the very same version of the item is in the file; each of its rows answers for one item."""
        entries = self._done.get(stamp(item))
        if not entries:
            return False
        self.failed += entries.pop()[5]
        return True

    def write(self, results: Sequence[Result]) -> None:
        """Append rows, then note their items, each forced to disk."""
        end = self._rows.tell()
        rows, notes = bytearray(), bytearray()
        for result in results:
            written = "".join(as_row(row, self.form, characters=self.characters) for row in result.rows).encode()
            rows += written
            failed = sum(row.error is not None for row in result.rows)
            version = stamp(result.item) if result.reached else (result.item.name, *_NEVER)
            entry = (*version, end + len(rows), zlib.crc32(written), failed)
            if self.resumed:  # else nothing can be stale, and millions of entries need not be kept
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
        try:
            self._entries = self._fitting(self.journal)
        except OutputError:
            if not self._next.exists():
                raise
            self._entries = self._fitting(self._next)  # a kill came before it took the other's place
        if self._entries:
            os.truncate(self.path, self._entries[-1][3])
        else:
            put(str(self.path), header(self.form))
        self._write_journal(self.journal)
        self._next.unlink(missing_ok=True)
        self._drop_stale(tried_again=True)

    def _fitting(self, journal: Path) -> list[Entry]:
        """Items of a journal that are in the file.

        Raises:
            OutputError: If it is of another run, or the file is not what it says.
        """
        settings, entries = _read_journal(journal)
        if settings is not None and settings != self._settings:
            raise OutputError(f"{self.path}: begun with other options ({differences(settings, self._settings)})")
        size = self.path.stat().st_size
        if settings is None and size > len(header(self.form).encode()):
            raise OutputError(f"{journal}: empty, though {self.path.name} is not; use --overwrite to start anew")
        within = list(itertools.takewhile(lambda entry: entry[3] <= size, entries))
        self._check(within, cut=len(within) < len(entries))
        return within

    def _check(self, entries: Sequence[Entry], *, cut: bool) -> None:
        """Whether the file holds what was written, or is `cut`, seldom at a line's end; else somebody changed it."""
        start = header(self.form).encode()
        with self.path.open("rb") as file:
            intact = file.read(len(start)) == start or not entries
            for entry in entries:
                intact = intact and zlib.crc32(file.read(entry[3] - file.tell())) == entry[4]
            rest = file.read()
        if not intact or (cut and rest.endswith(b"\n")):
            raise OutputError(f"{self.path}: changed since it was written; name another file, or --overwrite it")

    def _drop_stale(self, *, tried_again: bool = False) -> None:
        """Leave out rows of items read in a newer version, and of those out of reach if they are tried again.

        What has been read and is out of reach now keeps its rows.
        """
        newest = _newest(self._entries)
        stale = [
            entry[1:3] != newest.get(entry[0], _NEVER) or (tried_again and entry[1:3] == _NEVER)
            for entry in self._entries
        ]
        if not any(stale):
            return
        content = self.path.read_bytes()
        start = len(header(self.form).encode())
        kept, entries = bytearray(content[:start]), []
        for (name, size, modified, end, checksum, failed), dropped in zip(self._entries, stale, strict=True):
            if not dropped:
                kept += content[start:end]
                entries.append((name, size, modified, len(kept), checksum, failed))
            start = end
        self._entries = entries
        self._write_journal(self._next)  # first: whenever a kill comes, one of the journals fits the file
        put(str(self.path), bytes(kept))
        self._next.replace(self.journal)

    def _write_journal(self, journal: Path) -> None:
        put(str(journal), b"".join(map(_note, (self._settings, *self._entries))))
        with journal.open("rb") as file:
            os.fsync(file.fileno())


def _newest(entries: Sequence[Entry]) -> dict[str, tuple[int, int]]:
    """Newest version of each item that was reached; what was lost of an archive is of its last one read, too."""
    lost = {entry[0] for entry in entries if entry[5]}
    newest: dict[str, tuple[int, int]] = {}
    for name, *version, _, _, _ in entries:
        if version != list(_NEVER):
            above = (str(place) for place in Path(name).parents) if lost else ()
            newest |= dict.fromkeys((name, *lost.intersection(above)), (version[0], version[1]))
    return newest


def is_journal(path: Path) -> bool:
    """Whether a file is a journal, or the beginning of one."""
    try:
        return _read_journal(path)[0] is not None or not path.stat().st_size
    except OutputError:
        return False


def _read_journal(journal: Path) -> tuple[Any, list[Entry]]:
    """Settings (None if not even they were written whole) and entries; a half-written last line is left out."""
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    try:
        settings, *entries = [json.loads(line) for line in lines] or [None]
        return settings and dict(settings.items()), [
            (str(name), int(a), int(b), int(c), int(d), int(e)) for name, a, b, c, d, e in entries
        ]
    except (ValueError, TypeError, AttributeError):
        raise OutputError(f"{journal}: damaged; cannot resume, use --overwrite to start anew") from None


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings of an earlier run that are not those of this one, and what to do about it."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    other = ", ".join(f"{key} {before.get(key)}" for key in keys)
    return f"{other}; use them, or --overwrite"


def _note(entry: Any) -> bytes:
    return (json.dumps(entry) + "\n").encode()


def _append(file: Any, data: bytes | bytearray) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
