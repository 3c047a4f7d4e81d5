"""A file per image, beside it or in a folder that mirrors the tree."""

from __future__ import annotations

import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ocrformer.journal import differences
from ocrformer.output_files import OutputError, make_ready, occupied, put, spare
from ocrformer.outputs import SUFFIXES, as_document
from ocrformer.remote import is_url
from ocrformer.sidecar_journal import JOURNAL, read_past
from ocrformer.sources import Item, is_file
from ocrformer.transcribe import Result


class SidecarWriter:
    """A file per image, beside it or in a folder that mirrors the tree.

    Args:
        folder: Root of the mirrored tree (a folder or a URL); None puts files beside their images.
        form: Output format.
        resume: Skip images that are done: their name, size and time of change are in the journal that lies beside
            their files, and the files are there. Of the others, files that the journal names are replaced.
        overwrite: Replace files that exist.
        characters: Add characters with boxes (JSON, hOCR, ALTO, PAGE).
        settings: What else decides the rows; a run with other settings is not gone on with.
    """

    def __init__(
        self,
        folder: str | None,
        form: str,
        *,
        resume: bool,
        overwrite: bool = False,
        characters: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder, self.form, self.resumed, self.characters = folder, form, resume, characters
        self.overwrite = overwrite
        self._settings = {"format": form, "characters": characters, **(settings or {})}
        self.failed = 0
        self.resumable = folder is None or not is_url(folder)
        self._taken: dict[str, tuple[str, int]] = {}
        self._past = cache(read_past)

    def target(self, item: Item, page: int | None = None) -> str:
        """Where the result of an item goes: the full name of the image, so that a.png and a.jpg stay apart."""
        numbered = f"#{page}" if page is not None else ""
        if self.folder is None:
            return f"{item.name}{numbered}{SUFFIXES[self.form]}"
        relative = "/".join(part for part in Path(item.relative).parts if part not in ("..", "/"))
        return f"{self.folder.rstrip('/')}/{relative}{numbered}{SUFFIXES[self.form]}"

    def admit(self, item: Item) -> Item:
        """The item, or the reason why its result would not have a file of its own."""
        if item.error is not None:
            return item
        if self.folder is None and item.data is not None:
            reason: str | None = "nothing can be put beside a member of an archive or a pipe; use --output-dir"
        elif self.folder is None and self.resumed and is_url(item.name):
            reason = "--resume goes on beside files of this machine alone; use --overwrite"
        else:
            reason = self._refusal(item, self.target(item))
        return replace(item, error=f"{item.name}: {reason}") if reason else item

    def _refusal(self, item: Item, target: str) -> str | None:
        this = item.name, zlib.crc32(item.data or b"")  # an archive may hold several members of one name
        other = self._taken.get(target, this)
        if other != this:
            return f"{target} is for {other[0]} already; read it into another folder"
        reason = None if target in self._taken else self._in_the_way(item, target)
        if not reason:
            self._taken[target] = this
        return reason

    def _in_the_way(self, item: Item, target: str) -> str | None:
        """Why the files of an item may not be written."""
        if "\0" in target:
            return "its name holds a null character, as no file's can"
        try:
            present = [file for file in self._alternatives(item, target) if occupied(file)]
            for file in present if self.overwrite else ():
                spare(file)
        except OutputError as error:
            return str(error)
        except OSError as error:
            return f"cannot write {target} ({error.strerror})"
        if not present or self.overwrite:
            return None
        if not self.resumed:
            return f"{present[0]} exists; use --resume to keep such files or --overwrite to replace them"
        return next(filter(None, (self._strangeness(item, file) for file in present)), None)

    def _strangeness(self, item: Item, file: str) -> str | None:
        """Why a file is not one that an earlier run wrote for this image, or for one that is gone."""
        owner = self._past(Path(file).parent / JOURNAL).owner
        if Path(file).name not in owner:
            return f"{file} exists and is of no earlier run; use --overwrite to replace it"
        other = _picture(owner[Path(file).name] or self._version(item))
        if other == _picture(self._version(item)) or not is_file(other):
            return None
        return f"{file} is of {other}; read it into another folder, or --overwrite"

    def is_done(self, item: Item) -> bool:
        """Whether the files of this very version of the image are there.

        Raises:
            OutputError: If they were made with other settings, and may not be replaced.
        """
        target = self.target(item)
        if not self.resumed or item.error is not None or is_url(target):
            return False
        beside = Path(target).parent
        past, version = self._past(beside / JOURNAL), self._version(item)
        names, settings, failed = past.done.get((version, self.form), ([], {}, 0))
        if not names or not all(past.owner[name] == version and (beside / name).is_file() for name in names):
            return False
        if settings != self._settings and not self.overwrite:
            raise OutputError(f"{target}: made with other options ({differences(settings, self._settings)})")
        if settings != self._settings:
            return False
        self.failed += failed
        return True

    def _version(self, item: Item) -> str:
        """Name, size and time of change; the same from wherever the image is named."""
        name = item.name if is_url(item.name) else str(Path(item.name).absolute())
        return json.dumps([Path(name).name if self.folder is None else name, item.size, item.modified])

    def _alternatives(self, item: Item, target: str) -> list[str]:
        """What the first file of an item may be called: PAGE has a file for each page of a picture."""
        return [target, self.target(item, 1)] if self.form == "page" else [target]

    def write(self, results: Sequence[Result]) -> None:
        """Write each file under another name first, so that none is ever half there.

        The journals are told which files will come before it, to know them again after a kill, and what is done after
        it. A file that cannot be written makes its image a failed one, and so does a journal that cannot.
        """
        documents = [self._documents(result) for result in results]
        refused = self._note((None, files, 0) for files in documents)
        failed = [sum(row.error is not None for row in result.rows) for result in results]
        made = zip(results, documents, failed, strict=True)
        self._note(
            (self._version(result.item), files, lost)
            for result, files, lost in made
            if self._put(result, files, refused)
        )

    def _documents(self, result: Result) -> dict[str, str]:
        """Contents of the files of an item; none where nothing could be read."""
        rows = result.rows
        if self.form == "page" and len(rows) > 1:
            files = {self.target(result.item, number): [row] for number, row in enumerate(rows, 1)}
        else:
            files = {self.target(result.item): rows} if rows[0].error is None or len(rows) > 1 else {}
        return {target: as_document(part, self.form, characters=self.characters) for target, part in files.items()}

    def _put(self, result: Result, files: Mapping[str, str], refused: Mapping[Path, str]) -> bool:
        """Whether the files of an item could be written; beside a journal that refuses notes none is."""
        try:
            for target, content in files.items():
                if reason := refused.get(Path(target).parent / JOURNAL):
                    raise OutputError(reason)
                put(target, content)
            self._drop_stale(result, files)
        except OutputError as error:
            result.rows = [replace(row, line=None, error=f"{row.file}: {error}") for row in result.rows]
            return False
        return True

    def _drop_stale(self, result: Result, files: Mapping[str, str]) -> None:
        """Remove what was written for an older picture of that name and is not written for this one.

        What is out of reach now keeps its files, and so does what was refused unread.

        Raises:
            OutputError: If one cannot be removed.
        """
        target = self.target(result.item)
        if not result.reached or result.item.error is not None or is_url(target):
            return
        name, beside = _picture(self._version(result.item)), Path(target).parent
        past = self._past(beside / JOURNAL)
        stale = past.made[name, self.form] - {Path(file).name for file in files}
        own = re.compile(rf"{re.escape(Path(result.item.name).name)}(#\d+)?{re.escape(SUFFIXES[self.form])}")
        try:
            for old in filter(own.fullmatch, stale):
                if _picture(past.owner[old] or name) == name:
                    (beside / old).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                f"{error.filename}: cannot remove what is of an older picture ({error.strerror})"
            ) from None

    def _note(self, entries: Iterable[tuple[str | None, Mapping[str, str], int]]) -> dict[Path, str]:
        """Add versions of images, or None, their files and how many pages failed to the journals that lie beside these.

        Returns:
            Journals that cannot be written, and why.
        """
        notes: dict[Path, str] = defaultdict(str)
        for version, files, failed in entries:
            if files and not is_url(next(iter(files))):
                names = json.dumps([Path(target).name for target in files])
                settings = json.dumps(self._settings if version else {})
                note = f"[{version or 'null'}, {names}, {settings}, {failed}]\n"
                notes[Path(next(iter(files))).parent / JOURNAL] += note
        refused = {}
        for journal, lines in notes.items():
            try:
                make_ready(str(journal))
                with journal.open("a", encoding="utf-8") as file:
                    file.write(lines)
            except OutputError as error:
                refused[journal] = str(error)
            except OSError as error:
                refused[journal] = f"{journal}: cannot write there ({error.strerror or error})"
        return refused

    def close(self) -> None:
        """Nothing comes last."""


def _picture(version: str) -> str:
    """Name of the image of a version."""
    return str(json.loads(version)[0])
