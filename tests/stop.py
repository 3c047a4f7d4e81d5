"""A callback for tests: the first process sends itself a signal after a number of steps."""

import os
from typing import Any

import lightning.pytorch as pl


class StopAt(pl.Callback):
    """Send `signal` to this process once `step` optimiser steps are done."""

    def __init__(self, step: int, signal: int) -> None:
        self.step, self.signal = step, signal

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and trainer.is_global_zero:
            os.kill(os.getpid(), self.signal)
