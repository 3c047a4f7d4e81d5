"""The service's batcher: lines of concurrent requests share batches and never results."""

import asyncio
import threading
import time
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace

import pytest

from ocrformer import DecodeOptions, Line
from service.batcher import Batcher, BusyError


class Model:
    """Reads a picture as its name; can be slow, can be held, can fail."""

    def __init__(self, seconds=0.0):
        self.seconds, self.batches, self.hold = seconds, [], threading.Event()
        self.hold.set()

    def read(self, pictures, options):
        self.hold.wait(5)
        time.sleep(self.seconds)
        self.batches.append([int(name) for name, _ in pictures])
        if 13 in self.batches[-1]:
            raise RuntimeError("thirteen")
        return [Line(f"{name}{options.mode}", 1.0, "ok", ()) for name, _ in pictures]


def picture(number):
    return str(number), b"any content will do here"


def with_batcher(scenario, model, **limits):
    seen = []

    async def run():
        options = {"batch": 8, "queue": 64} | limits
        batcher = Batcher(
            partial(asyncio.to_thread, model.read), observe=lambda *numbers: seen.append(numbers), **options
        )
        result = await scenario(batcher)
        await batcher.close()
        return result

    return asyncio.run(run()), seen


@pytest.mark.parametrize("parallel", (1, 2, 3))
def test_results_come_back_to_their_own_request(parallel):
    model = Model(0.001)

    async def scenario(batcher):
        requests = [[picture(100 * r + i) for i in range(r % 5 + 1)] for r in range(1, 60)]
        answers = await asyncio.gather(*(batcher.read(lines, DecodeOptions()) for lines in requests))
        for lines, answer in zip(requests, answers, strict=True):
            assert [line.text for line in answer] == [f"{name}joint" for name, _ in lines]

    _, seen = with_batcher(scenario, model, queue=1000, parallel=parallel)
    assert max(map(len, model.batches)) == 8
    assert len(model.batches) < 40  # requests were merged
    assert sum(lines for lines, _, _ in seen) == sum(map(len, model.batches))


def test_one_batch_is_read_while_another_is_under_way():
    model = Model()
    model.hold.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.read([picture(1)], DecodeOptions()))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(batcher.read([picture(2)], DecodeOptions()))
        await asyncio.sleep(0.05)
        model.hold.set()
        await asyncio.gather(first, second)
        third = await batcher.read([picture(3)], DecodeOptions())  # those who were at work have gone
        return third[0].text

    assert with_batcher(scenario, model, parallel=2)[0] == "3joint"
    assert sorted(model.batches) == [[1], [2], [3]]


def test_a_single_request_does_not_wait_for_company():
    async def scenario(batcher):
        started = time.perf_counter()
        await batcher.read([picture(5)], DecodeOptions())
        return time.perf_counter() - started

    spent, _ = with_batcher(scenario, Model())
    assert spent < 0.2


def test_those_who_are_free_share_a_request():
    model = Model(0.02)

    async def scenario(batcher):
        with batcher.admit(6):
            await batcher.read([picture(n) for n in range(1, 7)], DecodeOptions())

    with_batcher(scenario, model, parallel=2)
    assert sorted(model.batches) == [[1, 2, 3], [4, 5, 6]]


def test_a_line_waits_a_little_for_company_while_more_are_being_read():
    model = Model()

    def read(pictures, options):
        time.sleep(0.3 if int(pictures[0][0]) > 99 else 0.0)
        return model.read(pictures, options)

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.read([picture(100), picture(101), picture(3)], DecodeOptions()))
        await asyncio.sleep(0.1)  # 3 has been read, the others have not
        later = []
        for n in (4, 5):
            later.append(asyncio.ensure_future(batcher.read([picture(n)], DecodeOptions())))
            await asyncio.sleep(0.001)
        await asyncio.gather(first, *later)

    async def admitted(batcher):
        with batcher.admit(4):
            await scenario(batcher)

    with_batcher(admitted, SimpleNamespace(read=read), parallel=2)
    assert model.batches == [[3], [4, 5], [100, 101]]


def test_batches_never_mix_options():
    model = Model()

    async def scenario(batcher):
        modes = ["draft", "ctc"] * 6
        answers = await asyncio.gather(*(batcher.read([picture(7)], DecodeOptions(mode=mode)) for mode in modes))
        assert [answer[0].text for answer in answers] == [f"7{mode}" for mode in modes]

    with_batcher(scenario, model)


def test_full_queue_is_busy_at_once_and_recovers():
    model = Model()
    model.hold.clear()

    async def request(batcher, lines):
        with batcher.admit(lines):
            return await batcher.read([picture(20 + i) for i in range(lines)], DecodeOptions())

    async def scenario(batcher):
        held = asyncio.ensure_future(request(batcher, 20))
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError) as caught:
            await request(batcher, 10)
        assert caught.value.retry_after >= 1
        model.hold.set()
        assert len(await held) == 20
        assert len(await request(batcher, 10)) == 10

    with_batcher(scenario, model, queue=16)


def test_cancelled_requests_leave_the_queue():
    model = Model()
    model.hold.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.read([picture(1)], DecodeOptions()))
        await asyncio.sleep(0.05)  # its batch is being read
        second = asyncio.ensure_future(batcher.read([picture(2)], DecodeOptions()))
        third = asyncio.ensure_future(batcher.read([picture(3)], DecodeOptions()))
        await asyncio.sleep(0.05)
        second.cancel()
        model.hold.set()
        assert (await first)[0].text == "1joint"
        assert (await third)[0].text == "3joint"

    with_batcher(scenario, model)
    assert model.batches == [[1], [3]]


def test_an_error_reaches_its_request_and_nobody_else():
    model = Model()
    model.hold.clear()

    async def scenario(batcher):
        first = asyncio.ensure_future(batcher.read([picture(1)], DecodeOptions()))
        await asyncio.sleep(0.05)  # what comes now shares a batch
        faulty, sound = (asyncio.ensure_future(batcher.read([picture(n)], DecodeOptions())) for n in (13, 4))
        await asyncio.sleep(0.05)
        model.hold.set()
        assert (await first)[0].text == "1joint" and (await sound)[0].text == "4joint"
        with pytest.raises(RuntimeError, match="thirteen"):
            await faulty
        assert (await batcher.read([picture(4)], DecodeOptions()))[0].text == "4joint"

    with_batcher(scenario, model)
    assert [13, 4] in model.batches


def test_what_reads_is_of_no_one_request():
    """Else lines of the log, of whatever fails later, would name the request that began it."""
    name = ContextVar("name", default="none")

    async def scenario(batcher):
        name.set("first")
        return await batcher.read([picture(1)], DecodeOptions())

    class Named(Model):
        def read(self, pictures, options):
            return [Line(name.get(), 1.0, "ok", ()) for _ in pictures]

    (line,), _ = with_batcher(scenario, Named())
    assert line.text == "none"


def test_nothing_to_read():
    async def scenario(batcher):
        return await batcher.read([], DecodeOptions())

    assert with_batcher(scenario, Model())[0] == []
