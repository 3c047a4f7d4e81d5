"""The bar that `ocrformer read` shows on a terminal."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ocrformer.transcribe import Summary, Windows


@contextmanager
def progress(places: list[str], recursive: bool) -> Iterator[Any]:
    """A bar on standard error, with the time left where the total is known; None if that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from ocrformer.sources import count

    total = count(places, recursive=recursive)
    endless = itertools.count() if total is None else None
    with click.progressbar(endless, total, label="starting", show_pos=True, file=sys.stderr) as bar:
        yield bar


def advancing(bar: Any, windows: Windows, summary: Summary) -> Callable[[int], None]:
    """A function that moves the bar on by finished items, and by those that were skipped since."""
    skipped = 0

    def advance(finished: int) -> None:
        nonlocal skipped
        if bar:
            bar.label = f"{summary.rate:,.0f} images/s"
            bar.update(finished + windows.skipped - skipped)
            skipped = windows.skipped

    return advance
