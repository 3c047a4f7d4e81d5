"""A callback for tests: the first process sends itself a signal after a number of steps."""

import os
from typing import Any

import lightning.pytorch as pl


class StopAt(pl.Callback):
    """Send `signal` to this process once `step` optimiser steps are done, or else amid the next one."""

    def __init__(self, step: int, signal: int, amid: bool = False) -> None:
        self.step, self.signal, self.amid, self.sent = step, signal, amid, False

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if not self.amid:
            self._send(trainer)

    def on_before_backward(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.amid and not self.sent:
            self._send(trainer)

    def _send(self, trainer: pl.Trainer) -> None:
        if trainer.global_step == self.step and trainer.is_global_zero:
            self.sent = True
            os.kill(os.getpid(), self.signal)
