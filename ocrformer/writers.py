"""Where rows go: a stream, one growing file with a journal, one document, or a file per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol

from ocrformer.journal import JournalWriter, OutputError, make_ready, occupied, put
from ocrformer.outputs import ROW_FORMATS, SUFFIXES, as_document, as_row, header
from ocrformer.remote import is_url
from ocrformer.rows import Row
from ocrformer.sources import Item
from ocrformer.transcribe import Result


class Writer(Protocol):
    """Takes results window by window.

    Attributes:
        failed: Images of items that are done which an earlier run could not read.
    """

    failed: int

    def admit(self, item: Item) -> Item:
        """The item, with an error if there is no place for its result."""

    def is_done(self, item: Item) -> bool:
        """Whether an earlier run finished this version of the item."""

    def write(self, results: Sequence[Result]) -> None:
        """Write results; where the target allows it, a kill afterwards cannot lose them."""

    def close(self) -> None:
        """Write what must come last."""


class StreamWriter:
    """Rows to a stream at once; documents (JSON, hOCR, ALTO, PAGE) at the end."""

    def __init__(self, stream: IO[str], form: str, *, characters: bool = False) -> None:
        self.stream, self.form, self.characters = stream, form, characters
        self.failed = 0
        self._kept: list[Row] = []
        stream.write(header(form))

    def admit(self, item: Item) -> Item:
        """Every item."""
        return item

    def is_done(self, item: Item) -> bool:
        """Never: a stream has no past."""
        return False

    def write(self, results: Sequence[Result]) -> None:
        """Write the rows, or keep them for the document."""
        rows = [row for result in results for row in result.rows]
        if self.form in ROW_FORMATS:
            self.stream.write("".join(as_row(row, self.form, characters=self.characters) for row in rows))
            self.stream.flush()
        else:
            self._kept += rows

    def close(self) -> None:
        """Write the document."""
        if self.form not in ROW_FORMATS:
            self.stream.write(_document(self._kept, self.form, self.characters))
        self.stream.flush()


class DocumentWriter:
    """One document, or all rows, written when everything is read: for formats and places that cannot grow."""

    def __init__(self, target: str, form: str, *, characters: bool = False) -> None:
        self.target, self.form, self.characters = target, form, characters
        self.failed = 0
        self._kept: list[Row] = []

    def admit(self, item: Item) -> Item:
        """Every item."""
        return item

    def is_done(self, item: Item) -> bool:
        """Never: the document is written anew."""
        return False

    def write(self, results: Sequence[Result]) -> None:
        """Keep the rows."""
        self._kept += [row for result in results for row in result.rows]

    def close(self) -> None:
        """Write the document."""
        put(self.target, _document(self._kept, self.form, self.characters))


class SidecarWriter:
    """A file per image, beside it or in a folder that mirrors the tree.

    Args:
        folder: Root of the mirrored tree (a folder or a URL); None puts files beside their images.
        form: Output format.
        resume: Keep files that are not older than their images.
        overwrite: Replace files that exist.
        characters: Add characters with boxes (JSON only).
    """

    def __init__(
        self, folder: str | None, form: str, *, resume: bool, overwrite: bool = False, characters: bool = False
    ) -> None:
        self.folder, self.form, self.resume, self.characters = folder, form, resume, characters
        self.overwrite = overwrite
        self.failed = 0
        self._taken: dict[str, str] = {}

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
        reason: str | None
        if self.folder is None and item.data is not None:
            reason = "nothing can be put beside a member of an archive or a pipe; use --output-dir"
        else:
            reason = self._refusal(item, self.target(item))
        return replace(item, error=f"{item.name}: {reason}") if reason else item

    def _refusal(self, item: Item, target: str) -> str | None:
        other = self._taken.setdefault(target, item.name)
        if other != item.name:
            return f"{target} is for {other} already; read it in a run of its own"
        if not (self.resume or self.overwrite) and any(map(occupied, self._alternatives(item, target))):
            return f"{target} exists; use --resume to keep such files or --overwrite to replace them"
        return None

    def is_done(self, item: Item) -> bool:
        """Whether the file is there and not older than its image."""
        if not self.resume or item.error is not None or is_url(target := self.target(item)):
            return False
        written = [Path(name) for name in self._alternatives(item, target) if Path(name).is_file()]
        return bool(written) and written[0].stat().st_mtime_ns >= item.modified

    def _alternatives(self, item: Item, target: str) -> list[str]:
        """What the first file of an item may be called: PAGE has a file for each page of a picture."""
        return [target, self.target(item, 1)] if self.form == "page" else [target]

    def write(self, results: Sequence[Result]) -> None:
        """Write each file under another name first, so that none is ever half there."""
        for result in results:
            if self.form == "page" and len(result.rows) > 1:
                for number, row in enumerate(result.rows, 1):
                    put(self.target(result.item, number), as_document([row], self.form, characters=self.characters))
            elif result.rows[0].error is None or len(result.rows) > 1:
                put(self.target(result.item), as_document(result.rows, self.form, characters=self.characters))

    def close(self) -> None:
        """Nothing comes last."""


def open_writer(
    form: str,
    *,
    output: str | None,
    sidecars: bool,
    folder: str | None,
    resume: bool,
    overwrite: bool,
    characters: bool,
    stdout: IO[str] | None,
    settings: Mapping[str, Any] | None = None,
) -> Writer:
    """The writer that the options of a run ask for; nothing is read before it is sure that it can write.

    Raises:
        OutputError: If they contradict each other, or the output exists and may not be touched.
    """
    if sidecars or folder is not None:
        if folder is not None:
            make_ready(f"{folder}/x")
        place = None if sidecars else folder
        return SidecarWriter(place, form, resume=resume, overwrite=overwrite, characters=characters)
    if output is None:
        if resume:
            raise OutputError("--resume needs --output, --sidecars or --output-dir")
        if stdout is None:
            raise OutputError("standard output is closed: use --output")
        return StreamWriter(stdout, form, characters=characters)
    if form not in ROW_FORMATS or is_url(output):
        if resume:
            raise OutputError(f"--resume needs a local file in a row format ({', '.join(ROW_FORMATS)})")
        if not overwrite and occupied(output):
            raise OutputError(f"{output} exists: use --overwrite to replace it")
        make_ready(output)
        return DocumentWriter(output, form, characters=characters)
    if Path(output).is_file() and not (resume or overwrite):
        raise OutputError(f"{output} exists: use --resume to continue it or --overwrite to replace it")
    return JournalWriter(Path(output), form, resume=resume, characters=characters, settings=settings)


def _document(rows: Sequence[Row], form: str, characters: bool) -> str:
    if form == "page" and len(rows) != 1:
        raise OutputError("PAGE describes one image a file: use --sidecars or --output-dir")
    return as_document(rows, form, characters=characters)
