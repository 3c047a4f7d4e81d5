"""Lines of concurrent requests share batches; none waits long for company, none sees another's result or error."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass, field

from ocrformer import DecodeOptions
from service.models import Picture, Result

Read = Callable[[Sequence[Picture], DecodeOptions], Awaitable[list[Result]]]
Observe = Callable[[int, float, float], None]
"""Told of each batch: its lines, the longest wait in seconds, the seconds of decoding and reading."""
_PATIENCE = 0.01  # seconds that a line may wait for company while others are being read


class BusyError(Exception):
    """The queue is full.

    Args:
        retry_after: Seconds after which it should have room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"busy, try again in {retry_after} s")
        self.retry_after = retry_after


@dataclass(eq=False)
class _Waiting:
    """One line in the queue."""

    picture: Picture
    options: DecodeOptions
    result: asyncio.Future[Result]
    since: float = field(default_factory=time.perf_counter)


class Batcher:
    """Collects lines while the models are busy and hands them the next batch soon after one is free.

    Args:
        read: Reads pictures of lines.
        parallel: Batches in flight at most.
        batch: Lines per call.
        queue: Lines that may be admitted at a time.
        observe: Called after each batch.
    """

    def __init__(self, read: Read, *, batch: int, queue: int, observe: Observe, parallel: int = 1) -> None:
        self._read, self._observe = read, observe
        self._batch, self._limit, self._parallel = batch, queue, parallel
        self._queue: deque[_Waiting] = deque()
        self._admitted = 0
        self._at_work: set[asyncio.Task[None]] = set()
        self._reading = 0  # lines being read
        self._changed = asyncio.Event()  # lines came, or a batch ended
        self._rate = 100.0  # lines per second of one of them, for Retry-After

    @contextmanager
    def admit(self, lines: int) -> Iterator[None]:
        """Room for the lines of one request, until they are answered.

        Raises:
            BusyError: If there is none.
        """
        self.check(lines)
        self._admitted += lines
        try:
            yield
        finally:
            self._admitted -= lines

    def check(self, lines: int = 1) -> None:
        """Refuse so many lines if there is no room for them; any number has room where there is none yet.

        Raises:
            BusyError: If there is none.
        """
        if self._admitted and self._admitted + lines > self._limit:
            raise BusyError(1 + int(self._admitted / self._rate / self._parallel))

    async def read(self, pictures: Sequence[Picture], options: DecodeOptions) -> list[Result]:
        """Read the lines of one request, in order: each a line, or the error of a picture that cannot be read.

        If the caller is cancelled, its lines leave the queue.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(picture, options, loop.create_future()) for picture in pictures]
        self._queue.extend(waiting)
        self._changed.set()
        self._at_work = {task for task in self._at_work if not task.done()}
        for _ in range(min(len(pictures), self._parallel - len(self._at_work))):
            self._at_work.add(loop.create_task(self._work(), context=Context()))  # it is of no one request
        try:
            return list(await asyncio.gather(*(one.result for one in waiting)))
        finally:
            for one in waiting:
                one.result.cancel()  # done ones do not mind; the others are dropped from the queue

    async def close(self) -> None:
        """Answer what is in the queue."""
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _work(self) -> None:
        while batch := await self._next():
            started = time.perf_counter()
            pictures, options = [one.picture for one in batch], batch[0].options
            self._reading += len(batch)
            try:
                results = await self._read(pictures, options)
                self._answer(batch, results, started)
            except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
                await self._without(batch, error)
                continue
            finally:
                self._reading -= len(batch)
                self._changed.set()

    def _answer(self, batch: list[_Waiting], results: list[Result], started: float) -> None:
        spent = time.perf_counter() - started
        self._rate = 0.8 * self._rate + 0.2 * len(batch) / max(spent, 1e-6)
        self._observe(len(batch), started - batch[0].since, spent)
        for one, result in zip(batch, results, strict=True):
            if not one.result.done():
                one.result.set_result(result)

    async def _without(self, batch: list[_Waiting], error: Exception) -> None:
        """Answer a batch that failed: each line alone, so that only the faulty one's caller hears of the error."""
        for one in batch:
            if one.result.done():  # its caller has gone
                continue
            try:
                if len(batch) == 1:
                    raise error
                (result,) = await self._read([one.picture], one.options)
            except Exception as reason:  # noqa: BLE001
                if not one.result.done():
                    one.result.set_exception(reason)
            else:
                if not one.result.done():
                    one.result.set_result(result)

    async def _company(self) -> None:
        """Wait while others are at work and have more lines than there are in the queue, but not for long."""
        while self._queue and len(self._queue) < self._reading:
            patience = self._queue[0].since + _PATIENCE - time.perf_counter()
            if patience <= 0:
                return
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), patience)

    async def _next(self) -> list[_Waiting]:
        """The oldest lines that share their options, no more than a fair share of all that have been admitted.

        Cancelled lines are dropped.
        """
        await self._company()
        share = -(-max(self._admitted, len(self._queue)) // self._parallel)
        batch: list[_Waiting] = []
        others: list[_Waiting] = []
        while self._queue and len(batch) < min(self._batch, share):
            one = self._queue.popleft()
            if one.result.done():
                continue
            if batch and one.options != batch[0].options:
                others.append(one)
            else:
                batch.append(one)
        self._queue.extendleft(reversed(others))
        return batch
