"""Processes that each read on one core: the interpreter that answers requests does not hold up those that read."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Barrier

import numpy as np
import torch

from ocrformer import DecodeOptions, Line, OCRformer
from ocrformer.image import Pixels

logger = logging.getLogger("ocrformer.service")

_WARM = [np.full((32, 256), 255, np.uint8)]  # the first reading is slow: nobody should wait for it
_STARTING = 120  # seconds that processes which are ready wait for the others
_reader: OCRformer | None = None  # of a model process


class Models:
    """The model, once for each batch that may be read at a time.

    Args:
        reader: Reads here, in a thread, if `count` is 1; else as many processes load its weights.
        runtime: As for `OCRformer.from_pretrained`.
        count: Batches at a time.
    """

    def __init__(self, reader: OCRformer, runtime: str, count: int) -> None:
        self.count = count
        self._reader = reader
        self._source = (str(reader.path), str(reader.device), runtime)
        self._executor = self._start()
        self._restart = asyncio.Lock()

    def _start(self) -> Executor:
        if self.count == 1:
            self._reader.read(_WARM)
            return ThreadPoolExecutor(1, "model")
        spawn = multiprocessing.get_context("spawn")  # threads of this process would not survive a fork
        all_ready = spawn.Barrier(self.count)
        executor = ProcessPoolExecutor(self.count, spawn, _load, (*self._source, all_ready))
        for job in [executor.submit(int) for _ in range(self.count)]:  # each starts a process
            job.result()
        return executor

    async def read(self, lines: Sequence[Pixels], options: DecodeOptions) -> list[Line]:
        """Read a batch; once more with new processes if the one that read it has died."""
        loop = asyncio.get_running_loop()
        executor = self._executor
        if self.count == 1:
            return await loop.run_in_executor(executor, self._reader.read_prepared, lines, options)
        try:
            return await loop.run_in_executor(executor, _read, lines, options)
        except BrokenProcessPool:
            async with self._restart:
                if executor is self._executor:
                    logger.error("a model process has died; starting new ones")
                    for process in multiprocessing.active_children():
                        process.kill()  # the rest of a broken pool is of no use
                    self._executor = await loop.run_in_executor(None, self._start)
            return await loop.run_in_executor(self._executor, _read, lines, options)

    def shutdown(self) -> None:
        """End the threads or processes."""
        self._executor.shutdown()


def _load(weights: str, device: str, runtime: str, all_ready: Barrier) -> None:
    """Make this process ready to read, on one core."""
    global _reader
    for stop in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; what is in flight is answered first
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    torch.set_num_threads(1)
    _reader = OCRformer.from_pretrained(weights, device, runtime)
    _reader.read(_WARM)
    all_ready.wait(_STARTING)


def _follow() -> None:
    """End with the service, even if it is killed."""
    service = multiprocessing.parent_process()
    assert service is not None
    service.join()
    os._exit(1)


def _read(lines: Sequence[Pixels], options: DecodeOptions) -> list[Line]:
    assert _reader is not None
    return _reader.read_prepared(lines, options)
