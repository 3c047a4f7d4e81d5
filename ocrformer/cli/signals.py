"""Ending when asked to, with what is begun finished."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Note the first SIGINT or SIGTERM, so that the running batch is finished; a second one ends at once."""
    stopped: list[int] = []

    def note(number: int, _: Any) -> None:
        if stopped:
            os._exit(128 + number)
        stopped.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
