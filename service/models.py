"""Processes that each decode and read pictures on one core: the interpreter that answers does not hold them up.

A picture that brings its decoder down takes one of them with it, and no other picture.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
import torch

from ocrformer import DecodeOptions, ImageError, Line, OCRformer
from ocrformer.image import Pixels

Picture = tuple[str, bytes]
"""Name, for error messages, and content of an image file."""
Result = Line | ImageError

logger = logging.getLogger("ocrformer.service")

_WARM = [np.full((32, 256), 255, np.uint8)]  # the first reading is slow: nobody should wait for it
_reader: OCRformer | None = None  # of a model process


class Models:
    """The model, once for each batch that may be read at a time.

    Args:
        reader: Reads here, in threads, if it is not on a CPU or `count` is 1; else as many processes load its weights.
        runtime: As for `OCRformer.from_pretrained`.
        count: Batches at a time.
        max_pixels: Refuse larger pictures.
    """

    def __init__(self, reader: OCRformer, runtime: str, count: int, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._source = (str(reader.path), str(reader.device), runtime)
        self._read: Callable[..., list[Result]] = _read
        self._places: list[Executor]
        if count == 1 or reader.device.type != "cpu":
            reader.read(_WARM)
            self._read = partial(_read_with, reader)
            self._places = [ThreadPoolExecutor(1, "model") for _ in range(count)]
        else:
            self._places = self._start(count)
        self._free = asyncio.Queue[int]()
        for place in range(count):
            self._free.put_nowait(place)

    def _start(self, count: int) -> list[Executor]:
        """Processes that are ready to read, each by itself: one that dies takes no other with it."""
        spawn = multiprocessing.get_context("spawn")  # threads of this process would not survive a fork
        pools: list[Executor] = [ProcessPoolExecutor(1, spawn, _load, self._source) for _ in range(count)]
        for job in [pool.submit(int) for pool in pools]:
            job.result()
        return pools

    async def read(self, pictures: Sequence[Picture], options: DecodeOptions) -> list[Result]:
        """A line or an error for each picture.

        Where the process that reads them dies, they are read one by one, to learn whose fault it was.
        """
        place = await self._free.get()
        try:
            return await self._at(place, pictures, options)
        except BrokenProcessPool:
            return [await self._alone(place, picture, options) for picture in pictures]
        finally:
            self._free.put_nowait(place)

    async def _alone(self, place: int, picture: Picture, options: DecodeOptions) -> Result:
        try:
            (result,) = await self._at(place, [picture], options)
        except BrokenProcessPool:
            return ImageError(f"{picture[0]}: damaged; the process that read it died of it", "damaged")
        return result

    async def _at(self, place: int, pictures: Sequence[Picture], options: DecodeOptions) -> list[Result]:
        """Read by one of the processes.

        Raises:
            BrokenProcessPool: If it died; another has taken its place.
            RuntimeError: If none could.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._places[place], self._read, pictures, options, self._max_pixels)
        except BrokenProcessPool:
            logger.error("a model process has died; starting another")
            try:
                (self._places[place],) = await loop.run_in_executor(None, self._start, 1)
            except BrokenProcessPool:  # no fault of the pictures; the next batch tries again
                raise RuntimeError("no model process can be started: is there enough memory?") from None
            raise

    def shutdown(self) -> None:
        """End the threads or processes."""
        for executor in self._places:
            executor.shutdown()


def _load(weights: str, device: str, runtime: str) -> None:
    """Make this process ready to read, on one core."""
    global _reader
    for stop in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; what is in flight is answered first
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_follow, daemon=True).start()
    torch.set_num_threads(1)
    _reader = OCRformer.from_pretrained(weights, device, runtime)
    _reader.read(_WARM)


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
