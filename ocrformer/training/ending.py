"""Training that is asked to end: after the step, with a checkpoint, and with a status that tells it from success."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.exceptions import SIGTERMException

ASKED = 143
"""Status of a process that SIGTERM ends."""


@contextmanager
def ending_as_asked() -> Iterator[None]:
    """Exit with status 143 if the process is asked to end (SIGTERM), which Lightning alone would call success."""
    try:
        yield
    except SIGTERMException:
        sys.exit(ASKED)


class EndingTogether(pl.Callback):
    """Ends training after a whole step when it, or any of several processes, is sent SIGTERM or SIGINT.

    Lightning's own handlers interrupt steps and validations, so that what these had changed by then (batch statistics,
    weights swapped for their average) is in the checkpoint; and they leave several processes waiting for one another
    for ever (its issue 20806). A second SIGINT ends at once.
    """

    def __init__(self) -> None:
        self._asked = 0  # the signal

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """All end if one was asked to: here, what the step before has changed is complete."""
        if batch_idx % trainer.accumulate_grad_batches:  # gradients of the step are half gathered
            return
        if trainer.strategy.reduce_boolean_decision(bool(self._asked), all=False):
            raise KeyboardInterrupt if self._asked == signal.SIGINT and trainer.world_size == 1 else SIGTERMException

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self._asked == signal.SIGINT:
            signal.default_int_handler(number, frame)
        self._asked = number
