"""A file per image, beside it or in a folder that mirrors the tree."""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ocrformer.journal import OutputError, differences, occupied, put
from ocrformer.outputs import SUFFIXES, as_document
from ocrformer.remote import is_url
from ocrformer.sources import Item
from ocrformer.transcribe import Result

_JOURNAL = ".ocrformer.jsonl"  # in each folder with sidecars: which version of which image they are of


class SidecarWriter:
    """A file per image, beside it or in a folder that mirrors the tree.

    Args:
        folder: Root of the mirrored tree (a folder or a URL); None puts files beside their images.
        form: Output format.
        resume: Skip images that are done: their name, size and time of change are in the journal that lies beside
            their files, and the files are there.
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
        self.folder, self.form, self.resume, self.characters = folder, form, resume, characters
        self.overwrite = overwrite
        self._settings = {"format": form, "characters": characters, **(settings or {})}
        self.failed = 0
        self.resumable = folder is None or not is_url(folder)
        self._taken: dict[str, tuple[str, int]] = {}
        self._finished = cache(_finished)

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
        else:
            reason = self._refusal(item, self.target(item))
        return replace(item, error=f"{item.name}: {reason}") if reason else item

    def _refusal(self, item: Item, target: str) -> str | None:
        this = item.name, zlib.crc32(item.data or b"")  # an archive may hold several members of one name
        other = self._taken.setdefault(target, this)
        if other != this:
            return f"{target} is for {other[0]} already; read it into another folder"
        try:
            present = any(map(occupied, self._alternatives(item, target)))
        except OSError as error:
            return f"cannot write {target} ({error.strerror})"
        if present and not (self.resume or self.overwrite):
            return f"{target} exists; use --resume to keep such files or --overwrite to replace them"
        return None

    def is_done(self, item: Item) -> bool:
        """Whether the files of this very version of the image are there.

        Raises:
            OutputError: If they were made with other settings, and may not be replaced.
        """
        target = self.target(item)
        if not self.resume or item.error is not None or is_url(target):
            return False
        beside = Path(target).parent
        names, settings = self._finished(beside / _JOURNAL).get((self._version(item), self.form), ([], {}))
        if not names or not all((beside / name).is_file() for name in names):
            return False
        if settings != self._settings and not self.overwrite:
            raise OutputError(f"{target}: made with other options ({differences(settings, self._settings)})")
        return settings == self._settings

    def _version(self, item: Item) -> str:
        """Name, size and time of change; the same from wherever the image is named."""
        name = item.name if is_url(item.name) else str(Path(item.name).absolute())
        return json.dumps([Path(name).name if self.folder is None else name, item.size, item.modified])

    def _alternatives(self, item: Item, target: str) -> list[str]:
        """What the first file of an item may be called: PAGE has a file for each page of a picture."""
        return [target, self.target(item, 1)] if self.form == "page" else [target]

    def write(self, results: Sequence[Result]) -> None:
        """Write each file under another name first, so that none is ever half there; then note what is done.

        A file that cannot be written makes its image a failed one.
        """
        notes: dict[Path, str] = defaultdict(str)
        for result in results:
            try:
                targets = self._put(result)
            except OutputError as error:
                result.rows = [replace(row, line=None, error=f"{row.file}: {error}") for row in result.rows]
            else:
                if targets and not is_url(targets[0]):
                    names = json.dumps([Path(target).name for target in targets])
                    note = f"[{self._version(result.item)}, {names}, {json.dumps(self._settings)}]\n"
                    notes[Path(targets[0]).parent / _JOURNAL] += note
        for journal, lines in notes.items():
            with journal.open("a", encoding="utf-8") as file:
                file.write(lines)

    def _put(self, result: Result) -> list[str]:
        """Write the files of an item, and say which; none where nothing could be read."""
        rows = result.rows
        if self.form == "page" and len(rows) > 1:
            files = {self.target(result.item, number): [row] for number, row in enumerate(rows, 1)}
        else:
            files = {self.target(result.item): rows} if rows[0].error is None or len(rows) > 1 else {}
        for target, content in files.items():
            put(target, as_document(content, self.form, characters=self.characters))
        return list(files)

    def close(self) -> None:
        """Nothing comes last."""


def _finished(journal: Path) -> dict[tuple[str, str], tuple[list[str], dict[str, Any]]]:
    """Names of the files of each version of an image in each format, and the settings they were made with."""
    found = {}
    for line in journal.read_text("utf-8", "replace").splitlines() if journal.is_file() else ():
        try:
            version, names, settings = json.loads(line)
            found[json.dumps(version), str(settings["format"])] = [str(name) for name in names], settings
        except (ValueError, TypeError, LookupError):  # half a line, at a kill
            continue
    return found
