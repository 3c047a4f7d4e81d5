"""What `ocrformer read` says of its progress: a bar on a terminal, and some words at the end."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ocrformer.summary import Summary
    from ocrformer.transcribe import Windows


@contextmanager
def progress(places: list[str], recursive: bool) -> Iterator[Any]:
    """A bar on standard error, with the time left where the total is known; None if that is closed or no terminal."""
    if not (sys.stderr and sys.stderr.isatty()):
        yield None
        return
    from ocrformer.sources import count

    total = count(places, recursive=recursive)
    endless = itertools.count() if total is None else None
    with click.progressbar(endless, total, label="starting", show_pos=True, file=sys.stderr) as bar:
        yield bar


def closing_words(summary: Summary, kept: int, failed_before: int) -> Iterator[str]:
    """What a run says at its end; nothing where a single picture was read."""
    if kept:
        failed = f", of which {failed_before:,} failed" if failed_before else ""
        yield f"kept {kept:,} of an earlier run{failed}"
    if summary.statuses.total() > 1 or (summary.statuses.total() and kept):
        yield str(summary)
    if summary.passed_over:
        yield f"passed over, as they are no pictures: {summary.passed_over:,}"


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
