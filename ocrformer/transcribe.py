"""Many images to rows: decoding beside the model, windows sorted by width, rows in order, interrupted runs resumed."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

from ocrformer.config import DecodeOptions
from ocrformer.image import ImageError, Pixels, load_pages, prepare_whole
from ocrformer.line import Line, doubted
from ocrformer.remote import SourceError, is_url
from ocrformer.rows import Row
from ocrformer.sources import Item

WINDOW = 1024
"""Items that are sorted by width together; also what an interruption loses at most."""
_HELD = 64 * 1024 * 1024  # bytes of archive members in a window: those wait in memory
_FIRST_WINDOW = 32  # the first result comes soon; windows then double
_CHUNK = 16  # items that one decoding task takes
_AHEAD = 2  # windows decoded in advance


@dataclass(frozen=True)
class Decoded:
    """One picture ready for the network, or the reason why not; not `reached` if there was no content to judge."""

    name: str
    pixels: Pixels | None
    width: int = 0
    height: int = 0
    error: str | None = None
    reached: bool = True


Stamp = tuple[str, int, int]
"""What tells one version of a file from another: name, size, time of change."""


def stamp(item: Item) -> Stamp:
    """The identity by which finished items are known."""
    return item.name, item.size, item.modified


def decode(item: Item, height: int) -> list[Decoded]:
    """Pictures of an item as prepared lines; pages of a TIFF are `name#1`, `name#2`, ..."""
    if item.error is not None:
        reached = item.modified > 0 and not is_url(item.name)  # what is not there was never changed
        return [Decoded(item.name, None, error=item.error, reached=reached)]
    decoded: list[Decoded] = []
    try:
        for page in load_pages(item.content(), name=item.name):
            decoded.append(_prepared(item.name, page, height))  # noqa: PERF401 - an error loses none before it
    except ImageError as error:
        lost = f"; page {len(decoded) + 1} and those after it are lost" if decoded else ""
        reached = error.code != "out_of_memory"  # there may be more of it at another time
        decoded.append(Decoded(item.name, None, error=f"{error}{lost}", reached=reached))
    except MemoryError:
        reason = f"{item.name}: larger than the memory that is left"
        decoded.append(Decoded(item.name, None, error=reason, reached=False))
    except (OSError, SourceError) as error:
        reason = f"{item.name}: cannot open file ({getattr(error, 'strerror', None) or error})"
        decoded.append(Decoded(item.name, None, error=reason, reached=False))
    if len(decoded) > 1:
        return [replace(one, name=f"{one.name}#{number}") for number, one in enumerate(decoded, 1)]
    return decoded


def _prepared(name: str, page: Pixels, height: int) -> Decoded:
    """A page, or why it is no line; those after it may be."""
    try:
        return Decoded(name, prepare_whole(page, height, name), page.shape[1], page.shape[0])
    except ImageError as error:
        return Decoded(name, None, error=str(error))


_Pages = list[list[Decoded]]


def _decode_all(items: Sequence[Item], height: int) -> _Pages:
    return [decode(item, height) for item in items]


@dataclass(frozen=True)
class Window:
    """Items that are sorted by width together.

    Attributes:
        items: Neighbours in the input.
        fresh: For each, whether no earlier run has finished it.
    """

    items: list[Item]
    fresh: list[bool]


@dataclass
class Windows:
    """Windows of the items that have anything left to do.

    They are cut from all items, finished ones too, so that a resumed run has the same ones as an unbroken run.

    Attributes:
        items: What to read.
        is_done: Whether an earlier run finished an item.
        skipped: Items that an earlier run had finished, counted while running.
    """

    items: Iterable[Item]
    is_done: Callable[[Item], bool] = lambda _: False
    skipped: int = 0

    def __iter__(self) -> Iterator[Window]:
        """Small windows first, so that the first result comes soon."""
        size = _FIRST_WINDOW
        iterator = iter(self.items)
        while items := _taken(iterator, size):
            fresh = [not self.is_done(item) for item in items]
            self.skipped += fresh.count(False)
            if any(fresh):
                yield Window(items, fresh)
            size = min(WINDOW, 2 * size)


def _taken(items: Iterator[Item], most: int) -> list[Item]:
    """The next items, fewer where they hold much."""
    taken: list[Item] = []
    held = 0
    while len(taken) < most and held < _HELD and (item := next(items, None)) is not None:
        taken.append(item)
        held += len(item.data or b"")
    return taken


@dataclass
class Result:
    """An item with all its rows and prepared lines (None where there is an error), and whether its content was reached.

    What was not (a storage that did not answer) is worth another try.
    """

    item: Item
    rows: list[Row]
    lines: list[Pixels | None]
    reached: bool = True


Read = Callable[[Sequence[Pixels], DecodeOptions], list[Line]]
"""Reads prepared lines, in order."""


@dataclass(frozen=True)
class WindowReader:
    """Turns decoded windows into results; all that an engine must keep beside the model.

    Attributes:
        read: Reads prepared lines.
        options: How to decode.
        min_confidence: Less confident lines are marked `suspect`.
        timing: Note the milliseconds of each row (then two runs differ in them).
    """

    read: Read
    options: DecodeOptions
    min_confidence: float = 0.0
    timing: bool = False

    def __call__(self, window: Window, decoded: Iterable[list[Decoded]]) -> list[Result]:
        """Results of the window's unfinished items.

        A window with anything left to do is read whole: a resumed run forms the same batches as an unbroken one and
        writes the same bytes.
        """
        decoded = list(decoded)
        lines = [one.pixels for pictures in decoded for one in pictures if one.pixels is not None]
        started = time.perf_counter()
        read = iter(self.read(lines, self.options))
        each = 1000 * (time.perf_counter() - started) / max(1, len(lines)) if self.timing else None
        results = []
        for item, pictures in zip(window.items, decoded, strict=True):
            rows = [self._row(item, one, next(read) if one.pixels is not None else None, each) for one in pictures]
            reached = all(one.reached for one in pictures)
            results.append(Result(item, rows, [one.pixels for one in pictures], reached))
        return [result for result, wanted in zip(results, window.fresh, strict=True) if wanted]

    def _row(self, item: Item, picture: Decoded, line: Line | None, milliseconds: float | None) -> Row:
        line = line and doubted(line, self.min_confidence)
        size = (picture.width, picture.height)
        spent = milliseconds if line is not None else None
        return Row(picture.name, line, picture.error, *size, milliseconds=spent, modified=item.modified)


@dataclass
class Transcriber:
    """Turns items into rows on this machine.

    Attributes:
        read_window: Reads windows.
        height: Line height of the model.
        executor: Where pictures are decoded; a process pool or a thread pool.
    """

    read_window: WindowReader
    height: int
    executor: Executor

    def run(self, windows: Iterable[Window]) -> Iterator[list[Result]]:
        """Results window by window, in order of the items."""
        waiting: deque[tuple[Window, list[Future[_Pages]]]] = deque()
        for window in windows:
            waiting.append((window, self._submit(window.items)))
            if len(waiting) > _AHEAD:
                yield self._finish(*waiting.popleft())
        while waiting:
            yield self._finish(*waiting.popleft())

    def _submit(self, items: Sequence[Item]) -> list[Future[_Pages]]:
        chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
        return [self.executor.submit(_decode_all, chunk, self.height) for chunk in chunks]

    def _finish(self, window: Window, futures: list[Future[_Pages]]) -> list[Result]:
        return self.read_window(window, itertools.chain.from_iterable(future.result() for future in futures))
