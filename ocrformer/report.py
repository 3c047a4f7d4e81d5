"""`--report`: one HTML page with the most doubtful lines, to correct in a browser and save as labels."""

from __future__ import annotations

import heapq
import itertools
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ocrformer.display import picture_url
from ocrformer.image import Pixels
from ocrformer.output_files import OutputError
from ocrformer.outputs import as_record
from ocrformer.pages import data_of, fill
from ocrformer.remote import is_url
from ocrformer.rows import Row, printable
from ocrformer.summary import Summary
from ocrformer.transcribe import Result


class Report:
    """Collects the least confident lines of a run, however long it is.

    Args:
        most: How many lines the page holds.
        folder: Where the page will lie, and its labels beside it: they name the pictures from there.
    """

    def __init__(self, most: int = 1000, folder: str = ".") -> None:
        self.most, self.folder = most, folder
        self._count = itertools.count()
        self._kept: list[tuple[float, int, dict[str, Any]]] = []
        self._rows_seen = self._items = self._items_before = self._first_new = 0
        self._before = Summary()
        self._earlier: set[str] = set()  # pictures of an earlier run's page,
        self._again: set[str] = set()  # and those of them that were read again

    def add(self, results: Sequence[Result]) -> None:
        """Take lines that are more doubtful than those kept."""
        self._items += len(results)
        for result in results:
            for row, line in zip(result.rows, result.lines, strict=True):
                self._rows_seen += 1
                self._again |= {printable(result.item.name)} & self._earlier
                certainty = row.line.confidence if row.line else -1.0
                entry = (-certainty, next(self._count))
                if len(self._kept) < self.most:
                    heapq.heappush(self._kept, (*entry, self._record(result.item.name, row, line)))
                elif entry[0] > self._kept[0][0]:
                    heapq.heapreplace(self._kept, (*entry, self._record(result.item.name, row, line)))

    def go_on(self, page: str) -> None:
        """Take over the lines of an earlier run's page.

        Raises:
            OutputError: If it is no such page.
        """
        try:
            before = data_of(Path(page).read_text("utf-8"))
            sure = [-1.0 if row["confidence"] is None else float(row["confidence"]) for row in before["rows"]]
            kept = [(-s, next(self._count), dict(row)) for s, row in zip(sure, before["rows"], strict=True)]
            self._rows_seen = len(kept) + int(before["omitted"])
            self._items = self._items_before = int(before["pictures"])
            self._earlier = {record["picture"] for _, _, record in kept}
            self._before = Summary(Counter(before["statuses"]), float(before["confidence"]))
        except (ValueError, TypeError, LookupError, OSError):
            raise OutputError(f"{page}: is no report to go on with; name another file, or --overwrite it") from None
        self._kept, self._first_new = kept, len(kept)
        heapq.heapify(self._kept)

    def lacking(self, finished: int) -> int:
        """How many of so many files that earlier runs finished are in no page: they were killed, or wrote none."""
        return max(0, finished - self._items_before)

    def page(self, summary: Summary, lacking: int = 0) -> str:
        """The page, most doubtful lines first; `lacking` files are known to be missing."""
        kept = [one for one in self._kept if not self._is_stale(one)]
        rows = [record for _, _, record in sorted(kept, key=lambda one: (-one[0], one[1]))]
        stale = [one[2] for one in self._kept if self._is_stale(one)]
        counts = {
            "pictures": self._items - len({record["picture"] for record in stale}),
            "omitted": self._rows_seen - len(self._kept),
            "lacking": lacking,
        }
        total = self._before.without(stale) + summary
        said = {"summary": total.counts if self._items_before else str(summary)}  # the rate is of one run
        parts = {"statuses": total.statuses, "confidence": total.confidence}
        return fill("report.html", said | counts | parts | {"rows": rows})

    def _is_stale(self, kept: tuple[float, int, dict[str, Any]]) -> bool:
        """Whether an earlier run's line is of a picture that was read again, with as many pages or others."""
        _, number, record = kept
        return number < self._first_new and record["picture"] in self._again

    def _record(self, picture: str, row: Row, line: Pixels | None) -> dict[str, Any]:
        record = as_record(row)
        record["picture"] = printable(picture)  # of which the row may be a page
        record["characters"] = [[c.text, round(c.confidence, 3)] for c in row.line.characters] if row.line else []
        record["image"] = picture_url(line) if line is not None else None
        record["label"] = row.file if is_url(row.file) or not row.file else self._from_here(Path(row.file))
        return record

    def _from_here(self, file: Path) -> str:
        """How the page's folder names a file, whatever links lead to either."""
        return os.path.relpath(Path(os.path.realpath(file.parent)) / file.name, os.path.realpath(self.folder))
