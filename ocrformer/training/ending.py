"""Training that is asked to end: after the step, with a checkpoint, and with a status that tells it from success."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    """Ends several processes after the same step when any of them is sent SIGTERM or SIGINT.

    Lightning's own handlers leave them waiting for one another for ever (its issue 20806), so that a scheduler must
    kill them before they could save a checkpoint. A single process is left to Lightning.
    """

    def __init__(self) -> None:
        self._asked = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over."""
        if trainer.world_size > 1:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._note)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """All end if one was asked to: here, what the step before has changed is complete."""
        if trainer.world_size > 1 and trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            raise SIGTERMException

    def _note(self, *_: Any) -> None:
        self._asked = True
