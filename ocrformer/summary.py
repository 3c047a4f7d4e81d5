"""What a run of `ocrformer read` comes to, in numbers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ocrformer.rows import Row


@dataclass
class Summary:
    """Counts of a run, for its closing line."""

    statuses: Counter[str] = field(default_factory=Counter)
    confidence: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    passed_over: int = 0

    def pass_over(self, name: str) -> None:
        """Count a file that is no picture."""
        self.passed_over += 1

    def add(self, rows: Iterable[Row]) -> None:
        """Count some rows."""
        for row in rows:
            self.statuses[row.status] += 1
            self.confidence += row.line.confidence if row.line else 0.0

    @property
    def rate(self) -> float:
        """Images per second so far."""
        return self.statuses.total() / max(1e-9, time.perf_counter() - self.started)

    @property
    def failed(self) -> int:
        """Images that could not be read."""
        return self.statuses["failed"]

    def without(self, records: Iterable[Mapping[str, Any]]) -> Summary:
        """What is left when some rows, as results record them, were read anew."""
        records = list(records)
        confidence = self.confidence - sum(record["confidence"] or 0.0 for record in records)
        return Summary(self.statuses - Counter(record["status"] for record in records), confidence)

    def __add__(self, later: Summary) -> Summary:
        """Both runs together."""
        return Summary(self.statuses + later.statuses, self.confidence + later.confidence)

    @property
    def counts(self) -> str:
        """One line: read, empty, suspect, failed, mean confidence."""
        read = self.statuses.total() - self.failed
        mean = self.confidence / read if read else 0.0
        counts = f"read {read:,}, of these empty {self.statuses['empty']:,} and suspect {self.statuses['suspect']:,}"
        return f"{counts}; failed {self.failed:,}; mean confidence {mean:.3f}"

    def __str__(self) -> str:
        """The same, and the rate."""
        return f"{self.counts}; {self.rate:,.0f} images/s"
