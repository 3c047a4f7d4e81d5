"""Processes that each decode and read pictures on one core: the interpreter that answers does not hold them up.

A picture that brings its decoder down takes one of them with it, and no other picture. On a GPU or a single core the
service itself reads, in threads, and falls with it.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import numpy as np
import torch

from ocrformer import DecodeOptions, ImageError, Line, OCRformer
from ocrformer.image import Pixels
from service.logs import write_json_lines

Picture = tuple[str, bytes]
"""Name, for error messages, and content of an image file."""
Result = Line | ImageError

logger = logging.getLogger("ocrformer.service")

_DECODING = 15.0  # seconds for decoding one picture; what takes longer was made to, and ends its process
_COLUMNS = 2  # times what goes through the network at once that is read before the clock is looked at,
_STEPWISE = 1 / 16  # or this share of it, in the modes that write step by step
_WARM = [np.full((32, 256), 255, np.uint8)]  # the first reading is slow: nobody should wait for it
_reader: OCRformer | None = None  # of a model process
_decoding_since = math.inf  # likewise


class Models:
    """The model, once for each batch that may be read at a time.

    Args:
        reader: Reads here, in threads, if it is not on a CPU or `count` is 1; else as many processes load its weights.
        runtime: As for `OCRformer.from_pretrained`.
        count: Batches at a time.
        max_pixels: Refuse larger pictures.
        seconds: Time for a batch; lines that are not begun by then are not read, as nobody waits for them any more.
    """

    def __init__(self, reader: OCRformer, *, runtime: str, count: int, max_pixels: int, seconds: float) -> None:
        self._max_pixels, self._seconds = max_pixels, seconds
        self._source = (str(reader.path), str(reader.device), runtime)
        self._read: Callable[..., list[Result]] = _read
        self._places: list[Executor]
        if count == 1 or reader.device.type != "cpu":
            reader.read(_WARM)
            self._read = partial(_read_with, reader)
            self._places = [ThreadPoolExecutor(1, "model") for _ in range(count)]
        else:
            self._places = self._start(count)
        self._broken: set[int] = set()  # places where no process could be started
        self._starting = set[asyncio.Task[None]]()
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
            until = time.monotonic() + self._seconds  # the same clock in every process
            return await loop.run_in_executor(
                self._places[place], self._read, pictures, options, self._max_pixels, until
            )
        except BrokenProcessPool:
            logger.error("a model process has died; starting another")
            if not await self._restarted(place):  # no fault of the pictures; the next batch tries again
                raise RuntimeError("no model process can be started; the log before this says why") from None
            raise

    async def _restarted(self, place: int) -> bool:
        """Whether there is a process again."""
        try:
            (self._places[place],) = await asyncio.get_running_loop().run_in_executor(None, self._start, 1)
        except (BrokenProcessPool, OSError):  # it died at once, or the system gave none
            logger.exception("a model process cannot be started")
            self._broken.add(place)
        else:
            self._broken.discard(place)
        return place not in self._broken

    def ready(self) -> bool:
        """Whether any process can read; if none can, another is tried to be started meanwhile."""
        if len(self._broken) < len(self._places):
            return True
        if not self._starting and not self._free.empty():
            task = asyncio.get_running_loop().create_task(self._revive(self._free.get_nowait()))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        return False

    async def _revive(self, place: int) -> None:
        try:
            await self._restarted(place)
        finally:
            self._free.put_nowait(place)

    def shutdown(self) -> None:
        """End the threads or processes."""
        for executor in self._places:
            executor.shutdown()


def _load(weights: str, device: str, runtime: str) -> None:
    """Make this process ready to read, on one core."""
    global _reader
    for stop in (signal.SIGINT, signal.SIGTERM):  # they reach the whole group; what is in flight is answered first
        signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_watch, daemon=True).start()
    write_json_lines()
    torch.set_num_threads(1)
    try:
        _reader = OCRformer.from_pretrained(weights, device, runtime)
        _reader.read(_WARM)
        gc.freeze()  # what is loaded stays: no need to look through it again and again
    except Exception:
        logger.exception("a model process cannot load its weights")
        os._exit(1)


def _watch() -> None:
    """End with the service, even if it is killed, and with a picture that is never decoded."""
    service = multiprocessing.parent_process()
    assert service is not None
    while service.is_alive() and time.monotonic() - _decoding_since < _DECODING:
        service.join(1.0)
    os._exit(1)


def _read(pictures: Sequence[Picture], options: DecodeOptions, max_pixels: int, until: float) -> list[Result]:
    assert _reader is not None
    return _read_with(_reader, pictures, options, max_pixels, until)


def _read_with(
    reader: OCRformer, pictures: Sequence[Picture], options: DecodeOptions, max_pixels: int, until: float
) -> list[Result]:
    results: dict[int, Result] = {}
    lines: dict[int, Pixels] = {}
    for index, picture in enumerate(pictures):
        prepared = _prepared(reader, *picture, max_pixels) if time.monotonic() <= until else _late(picture)
        if isinstance(prepared, ImageError):
            results[index] = prepared
        else:
            lines[index] = prepared
    columns = options.batch_pixels * (_COLUMNS if options.mode in ("joint", "draft", "ctc") else _STEPWISE)
    for portion in _portions(lines, columns):
        if time.monotonic() > until:
            results |= {index: _late(pictures[index]) for index in portion}
        else:
            results |= zip(portion, reader.read_prepared([lines[index] for index in portion], options), strict=True)
    return [results[index] for index in range(len(pictures))]


def _late(picture: Picture) -> ImageError:
    return ImageError(f"{picture[0]}: not read in time; send fewer or shorter lines at once", "timeout")


def _portions(lines: Mapping[int, Pixels], columns: float) -> list[list[int]]:
    """Numbers of the lines in portions of about so many columns of pixels."""
    portions: list[list[int]] = []
    room = 0.0
    for index, line in lines.items():
        if room <= 0:
            portions.append([])
            room = columns
        portions[-1].append(index)
        room -= line.shape[1]
    return portions


def _prepared(reader: OCRformer, name: str, content: bytes, max_pixels: int) -> Pixels | ImageError:
    global _decoding_since
    _decoding_since = time.monotonic()
    try:
        return reader.prepare(content, name=name, max_pixels=max_pixels)
    except ImageError as error:
        return error
    finally:
        _decoding_since = math.inf
