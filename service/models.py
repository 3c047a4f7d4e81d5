"""Processes that each decode and read pictures on one core: the interpreter that answers does not hold them up.

A picture that brings its decoder down takes one of them with it, not the service.
"""

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

from ocrformer import DecodeOptions, ImageError, Line, OCRformer
from ocrformer.image import Pixels

Picture = tuple[str, bytes]
"""Name, for error messages, and content of an image file."""
Result = Line | ImageError

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
        max_pixels: Refuse larger pictures.
    """

    def __init__(self, reader: OCRformer, runtime: str, count: int, max_pixels: int) -> None:
        self.count = count
        self._reader, self._max_pixels = reader, max_pixels
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

    async def read(self, pictures: Sequence[Picture], options: DecodeOptions) -> list[Result]:
        """A line or an error for each; once more with new processes if the one that read them has died."""
        loop = asyncio.get_running_loop()
        executor = self._executor
        job = pictures, options, self._max_pixels
        if self.count == 1:
            return await loop.run_in_executor(executor, _read_with, self._reader, *job)
        try:
            return await loop.run_in_executor(executor, _read, *job)
        except BrokenProcessPool:
            async with self._restart:
                if executor is self._executor:
                    logger.error("a model process has died; starting new ones")
                    for process in multiprocessing.active_children():
                        process.kill()  # the rest of a broken pool is of no use
                    self._executor = await loop.run_in_executor(None, self._start)
            return await loop.run_in_executor(self._executor, _read, *job)

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


def _read(pictures: Sequence[Picture], options: DecodeOptions, max_pixels: int) -> list[Result]:
    assert _reader is not None
    return _read_with(_reader, pictures, options, max_pixels)


def _read_with(reader: OCRformer, pictures: Sequence[Picture], options: DecodeOptions, max_pixels: int) -> list[Result]:
    prepared = [_prepared(reader, *picture, max_pixels) for picture in pictures]
    lines = iter(reader.read_prepared([one for one in prepared if not isinstance(one, ImageError)], options))
    return [one if isinstance(one, ImageError) else next(lines) for one in prepared]


def _prepared(reader: OCRformer, name: str, content: bytes, max_pixels: int) -> Pixels | ImageError:
    try:
        return reader.prepare(content, name=name, max_pixels=max_pixels)
    except ImageError as error:
        return error
