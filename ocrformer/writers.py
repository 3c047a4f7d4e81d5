"""Where rows go: a stream, one growing file with a journal, one document, or a file per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from ocrformer.journal import JournalWriter, is_journal
from ocrformer.output_files import OutputError, make_ready, occupied, put, spare
from ocrformer.outputs import ROW_FORMATS, as_document, as_row, header
from ocrformer.remote import is_url
from ocrformer.rows import Row
from ocrformer.sidecar_journal import JOURNAL
from ocrformer.sidecars import SidecarWriter
from ocrformer.sources import Item
from ocrformer.transcribe import Result


class Writer(Protocol):
    """Takes results window by window.

    Attributes:
        failed: Images of items that are done which an earlier run could not read.
        resumable: Whether a later run can go on with what this one wrote.
        resumed: Whether this one goes on with what an earlier one wrote.
    """

    failed: int
    resumable: bool
    resumed: bool

    def admit(self, item: Item) -> Item:
        """The item, with an error if there is no place for its result."""

    def is_done(self, item: Item) -> bool:
        """Whether an earlier run finished this version of the item."""

    def write(self, results: Sequence[Result]) -> None:
        """Write results; where the target allows it, a kill afterwards cannot lose them."""

    def close(self) -> None:
        """Write what must come last."""


class StreamWriter:
    """Rows to a stream at once; documents (JSON, hOCR, ALTO, PAGE) at the end.

    Args:
        stream: Where to.
        form: Output format.
        characters: Add characters with boxes.
        owned: Close the stream at the end.
    """

    resumable = resumed = False

    def __init__(self, stream: IO[str], form: str, *, characters: bool = False, owned: bool = False) -> None:
        self.stream, self.form, self.characters, self.owned = stream, form, characters, owned
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
        if self.owned:
            self.stream.close()


class DocumentWriter:
    """One document, or all rows, written when everything is read: for formats and places that cannot grow."""

    resumable = resumed = False

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


@dataclass(frozen=True)
class Destination:
    """Where a run's rows shall go, and what may be done to what is there.

    Attributes:
        form: Output format.
        output: One file or URL; None or `-` is standard output.
        folder: Root of a tree with a file per image (a folder or a URL).
        sidecars: Put a file beside each image instead.
        resume: Go on with what an earlier run wrote.
        overwrite: Replace what exists.
        characters: Add characters with boxes (JSON, hOCR, ALTO, PAGE).
        settings: What else decides the rows; output begun with other settings is not gone on with.
    """

    form: str
    output: str | None = None
    folder: str | None = None
    sidecars: bool = False
    resume: bool = False
    overwrite: bool = False
    characters: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def open_writer(to: Destination, stdout: IO[str] | None) -> Writer:
    """The writer for a destination; nothing is read before it is sure that it can write.

    Raises:
        OutputError: If the destination contradicts itself, or exists and may not be touched.
    """
    if "" in (to.output, to.folder):
        raise OutputError("--output and --output-dir need a name")
    if to.sidecars or to.folder is not None:
        return _beside_images(to)
    if to.output is None or to.output == "-":
        if to.resume:
            raise OutputError("--resume needs --output, --sidecars or --output-dir")
        if stdout is None:
            raise OutputError("standard output is closed: use --output")
        return StreamWriter(stdout, to.form, characters=to.characters)
    if not is_url(to.output) and Path(to.output).exists() and not Path(to.output).is_file():
        return StreamWriter(_opened(to.output), to.form, characters=to.characters, owned=True)  # a device or a pipe
    return _one_file(to, to.output)


def _beside_images(to: Destination) -> SidecarWriter:
    if to.folder is not None:
        if to.resume and is_url(to.folder):
            raise OutputError(f"{to.folder}: --resume goes on in folders of this machine alone")
        make_ready(f"{to.folder}/{JOURNAL}")
    return SidecarWriter(
        None if to.sidecars else to.folder,
        to.form,
        resume=to.resume,
        overwrite=to.overwrite,
        characters=to.characters,
        settings=to.settings,
    )


def _one_file(to: Destination, output: str) -> DocumentWriter | JournalWriter:
    spare(output)
    if to.form not in ROW_FORMATS or is_url(output):
        if to.resume:
            raise OutputError(f"--resume needs a local file in a row format ({', '.join(ROW_FORMATS)})")
        if not to.overwrite and occupied(output):
            raise OutputError(f"{output} exists: use --overwrite to replace it")
        make_ready(output)
        return DocumentWriter(output, to.form, characters=to.characters)
    if Path(output).is_file() and not (to.resume or to.overwrite):
        raise OutputError(f"{output} exists: use --resume to continue it or --overwrite to replace it")
    journal = JournalWriter.journal_of(Path(output))
    if journal.exists() and not Path(output).exists() and not to.overwrite and not is_journal(journal):
        raise OutputError(f"{journal}: exists and is no journal of a run; name another output, or --overwrite it")
    begin = partial(JournalWriter, Path(output), to.form, characters=to.characters, settings=to.settings)
    try:
        return begin(resume=to.resume)
    except OutputError:
        if not (to.resume and to.overwrite):
            raise
        return begin(resume=False)  # what cannot be gone on with is replaced


def _opened(path: str) -> IO[str]:
    """A file that is there, for writing.

    Raises:
        OutputError: If that is not permitted, or it is a folder.
    """
    try:
        return Path(path).open("w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{path}: cannot write there ({error.strerror})") from None


def _document(rows: Sequence[Row], form: str, characters: bool) -> str:
    if form == "page" and len(rows) != 1:
        raise OutputError(f"PAGE describes one image a file, not {len(rows)} pages: use --sidecars or --output-dir")
    return as_document(rows, form, characters=characters)
