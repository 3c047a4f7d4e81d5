"""Parts of the service on their own: batcher, guard, uploads, settings."""

import asyncio
import base64
import io
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from types import SimpleNamespace

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ocrformer import DecodeOptions, ImageError, Line, OCRformer
from ocrformer.image import MAX_PIXELS
from ocrformer.model.network import save
from service.batcher import Batcher, BusyError
from service.guard import Guard, RequestError, while_connected
from service.logs import JsonLines
from service.models import Models, _read
from service.openapi import description
from service.settings import Settings
from service.uploads import parse
from tests.conftest import ROOT, tiny_bundle

FORM = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\nab\r\n--x--\r\n'
JSON = {"Content-Type": "application/json"}
PNG = b"\x89PNG any content will do here"


# Batcher


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


def test_nothing_to_read():
    async def scenario(batcher):
        return await batcher.read([], DecodeOptions())

    assert with_batcher(scenario, Model())[0] == []


# Model processes


def as_png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def model_processes():
    return [child for child in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("count", (1, 2))
def test_models_read_what_the_reader_reads_and_outlive_a_death(tmp_path, count):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    reader = OCRformer.from_pretrained(tmp_path / "tiny.safetensors", "cpu")
    contents = [as_png(np.random.default_rng(n).integers(0, 256, (32, 60 + n), dtype=np.uint8)) for n in range(5)]
    expected = [line.text for line in reader.read(contents)]
    pictures = [("bad.png", b"no picture"), *(("line.png", content) for content in contents)]
    models = Models(reader, "torch", count, MAX_PIXELS)
    first = model_processes()
    assert len(first) == (0 if count == 1 else count)

    async def twice():
        batches = await asyncio.gather(*(models.read(pictures, DecodeOptions()) for _ in range(2)))
        assert all(isinstance(fault, ImageError) and "bad.png" in str(fault) for fault, *_ in batches)
        return [[line.text for line in lines] for _, *lines in batches]

    async def scenario():
        for process in first:
            process.terminate()  # as a service manager does to all of a group: they wait for the service's word
        assert await twice() == [expected] * 2 and model_processes() == first
        for process in first[:1]:
            process.kill()
        assert await twice() == [expected] * 2

    asyncio.run(scenario())
    second = model_processes()
    assert len(second) == len(first) and not set(second) & set(first[:1])
    models.shutdown()
    assert not psutil.wait_procs(first + second, 10)[1]


def deadly(pictures, options, max_pixels):
    """As model processes read, but for a picture that no process survives."""
    if any(name == "poison.png" for name, _ in pictures):
        os.kill(os.getpid(), signal.SIGKILL)
    return _read(pictures, options, max_pixels)


def test_a_picture_that_kills_its_process_harms_no_other(tmp_path):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    reader = OCRformer.from_pretrained(tmp_path / "tiny.safetensors", "cpu")
    content = as_png(np.random.default_rng(0).integers(0, 256, (32, 60), dtype=np.uint8))
    models = Models(reader, "torch", 2, MAX_PIXELS)
    models._read = deadly

    async def beside_each_other():
        guilty = [(name, content) for name in ("a.png", "poison.png", "b.png")]
        return await asyncio.gather(
            *(models.read(some, DecodeOptions()) for some in (guilty, [("c.png", content)] * 3, guilty[1:2]))
        )

    first, second, third = asyncio.run(beside_each_other())
    text = reader.read([content])[0].text
    assert [first[0].text, first[2].text, *(line.text for line in second)] == [text] * 5
    for fault in (first[1], *third):
        assert isinstance(fault, ImageError) and fault.code == "damaged" and "poison.png" in str(fault)
    assert len(model_processes()) == 2
    models.shutdown()


def test_model_processes_end_with_the_service(tmp_path):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    code = f"""
import time
from ocrformer import OCRformer
from service.models import Models
if __name__ == "__main__":
    models = Models(OCRformer.from_pretrained({str(tmp_path / "tiny.safetensors")!r}, "cpu"), "torch", 2, 10**6)
    print("ready", flush=True)
    time.sleep(60)
"""
    (tmp_path / "serving_alone.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    service = psutil.Popen([sys.executable, tmp_path / "serving_alone.py"], stdout=subprocess.PIPE, env=environment)
    with service:
        assert service.stdout.readline().strip() == b"ready"
        children = service.children(recursive=True)
        service.kill()  # no chance to end them itself
    assert len(children) >= 2 and not psutil.wait_procs(children, 10)[1]


# Guard and uploads, in front of an application that says what it got


def application(max_images=4, **options):
    refused = []

    async def echo(request: Request) -> JSONResponse:
        try:
            upload = await parse(request, max_images)
        except RequestError as error:
            return JSONResponse({"code": error.code, "message": error.message}, error.status)
        return JSONResponse(
            {
                "images": [[name, len(data)] for name, data in upload.images],
                "mode": upload.options.mode,
                "allowed": upload.options.allowed,
                "characters": upload.characters,
                "min_confidence": upload.min_confidence,
                "plain": upload.plain,
                "id": request.state.request_id,
            }
        )

    app = Starlette(routes=[Route("/read", echo, methods=["POST"]), Route("/livez", echo, methods=["POST"])])
    defaults = {"api_key": "", "max_body": 100_000, "body_timeout": 0.5}
    return Guard(app, **(defaults | options), rejected=refused.append), refused


def post(app, path="/read", **request):
    async def run():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, **request)

    return asyncio.run(run())


def files(*names):
    return [("images", (name, PNG, "image/png")) for name in names]


def encoded(*contents):
    return {"images": [{"name": f"{i}.png", "data": base64.b64encode(c).decode()} for i, c in enumerate(contents)]}


def test_three_ways_to_send_images():
    app, _ = application()
    assert post(app, files=files("a.png", "줄.png")).json()["images"] == [["a.png", len(PNG)], ["줄.png", len(PNG)]]
    assert post(app, content=PNG, headers={"Content-Type": "image/png"}).json()["images"] == [["image", len(PNG)]]
    assert post(app, json=encoded(PNG, b"xy")).json()["images"] == [["0.png", len(PNG)], ["1.png", 2]]
    bare = {"images": ["data:image/png;base64," + base64.b64encode(PNG).decode()]}
    assert post(app, json=bare).json()["images"] == [["image-1", len(PNG)]]


def test_options_come_as_fields_query_or_json():
    app, _ = application()
    wanted = {"mode": "ctc", "charset": "0123", "characters": "true", "min_confidence": "0.5"}
    got = [
        post(app, files=files("a"), data=wanted).json(),
        post(app, content=PNG, headers={"Content-Type": "image/png"}, params=wanted).json(),
        post(app, json=encoded(PNG) | wanted | {"characters": True, "min_confidence": 0.5}).json(),
    ]
    for answer in got:
        assert (answer["mode"], answer["allowed"], answer["characters"]) == ("ctc", "0123", True)
        assert answer["min_confidence"] == 0.5
    assert post(app, files=files("a"), headers={"Accept": "text/plain"}).json()["plain"]
    assert not post(app, files=files("a"), headers={"Accept": "*/*"}).json()["plain"]


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"content": b"", "headers": {"Content-Type": "image/png"}}, 400, "no_images"),
        ({"content": b"x"}, 415, "unsupported_media_type"),
        ({"content": b"x", "headers": {"Content-Type": "text/html"}}, 415, "unsupported_media_type"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 400, "bad_json"),
        ({"json": {"images": "x"}}, 400, "bad_json"),
        ({"json": {"images": [1]}}, 400, "bad_json"),
        ({"json": {"images": []}}, 400, "no_images"),
        ({"json": {"images": ["not base64!"]}}, 400, "bad_base64"),
        ({"json": {"images": ["eA=="], "nonsense": 1}}, 400, "unexpected_field"),
        ({"files": files(*"abcdefg")}, 413, "too_many_parts"),
        ({"json": encoded(*[b"x"] * 5)}, 413, "too_many_images"),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, 400, "bad_form"),
        ({"content": b"no form", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_form"),
        ({"files": [("images", (None, "http://example.org/a.png"))]}, 400, "unexpected_field"),
        ({"files": files("a"), "data": {"colour": "red"}}, 400, "unexpected_field"),
        ({"files": files("a"), "data": {"mode": "psychic"}}, 400, "bad_option"),
        ({"files": files("a"), "data": {"characters": "maybe"}}, 400, "bad_option"),
        ({"files": files("a"), "data": {"min_confidence": "nan"}}, 400, "bad_option"),
        ({"json": encoded(PNG) | {"charset": 5}}, 400, "bad_option"),
        ({"json": encoded(PNG) | {"charset": " "}}, 400, "bad_option"),
        ({"content": json.dumps(encoded(PNG) | {"charset": "\ud800"}), "headers": JSON}, 400, "bad_option"),
        (
            {"content": json.dumps(encoded(PNG))[:-1] + ', "min_confidence": 1' + "0" * 400 + "}", "headers": JSON},
            400,
            "bad_option",
        ),
        (
            {"content": FORM, "headers": {"Content-Type": "multipart/form-data; boundary=x; charset=undefined"}},
            400,
            "bad_form",
        ),
        (
            {"content": PNG, "headers": {"Content-Type": "image/png"}, "params": {"carset": "01"}},
            400,
            "unexpected_field",
        ),
    ],
)
def test_bad_requests_get_a_code_and_a_sentence(request_, status, code):
    app, _ = application()
    response = post(app, **request_)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert "\n" not in response.json()["message"]


def test_bodies_are_limited_declared_or_not():
    app, refused = application(max_body=1000)
    assert post(app, content=bytes(2000), headers={"Content-Type": "image/png"}).status_code == 413

    async def chunks():
        for _ in range(10):
            yield bytes(300)

    response = post(app, content=chunks(), headers={"Content-Type": "image/png"})
    assert response.status_code == 413
    assert refused == ["body_too_large"]  # the second is counted where it is parsed


def test_slow_bodies_are_cut_off():
    app, _ = application(body_timeout=0.1)

    async def drip():
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    started = time.perf_counter()
    response = post(app, content=drip(), headers={"Content-Type": "image/png"})
    assert response.status_code == 408
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(("leaves", "status"), [(False, 504), (True, 499)])
def test_answers_that_nobody_awaits_are_given_up(leaves, status):
    given_up = []

    async def answer():
        try:
            await asyncio.sleep(60)
        finally:
            given_up.append(True)

    async def receive():
        await asyncio.sleep(0.02 if leaves else 60)
        return {"type": "http.disconnect"}

    async def ask():
        with pytest.raises(RequestError) as refusal:
            await while_connected(Request({"type": "http"}, receive), answer(), 0.2)
        await asyncio.sleep(0)
        return refusal.value.status

    assert asyncio.run(ask()) == status
    assert given_up == [True]


def test_api_key():
    app, refused = application(api_key="geheim")
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": "geheim"}):
        response = post(app, files=files("a"), headers=headers)
        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"
        assert response.json()["request_id"] == response.headers["x-request-id"]
    for headers in ({"X-API-Key": "geheim"}, {"Authorization": "Bearer geheim"}, {"Authorization": "bearer geheim"}):
        assert post(app, files=files("a"), headers=headers).status_code == 200
    assert post(app, "/livez", files=files("a")).status_code == 200
    assert refused == ["unauthorized"] * 4


def test_request_ids_are_kept_if_sane():
    app, _ = application()
    response = post(app, files=files("a"), headers={"X-Request-ID": "order-66"})
    assert response.headers["x-request-id"] == response.json()["id"] == "order-66"
    forged = post(app, files=files("a"), headers={"X-Request-ID": "a b\tc"})
    assert forged.headers["x-request-id"] != "a b\tc"
    assert forged.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in forged.headers["content-security-policy"]


def test_access_log_is_json_without_content(caplog):
    app, _ = application()
    with caplog.at_level("INFO", logger="ocrformer.access"):
        post(app, files=files("secret-name.png"))
    (record,) = [json.loads(JsonLines().format(r)) for r in caplog.records if r.name == "ocrformer.access"]
    assert record["status"] == 200 and record["path"] == "/read" and record["milliseconds"] >= 0
    assert record["level"] == "info" and "secret-name" not in str(record)


def test_tracebacks_are_one_json_line():
    try:
        raise RuntimeError("two\nlines")
    except RuntimeError:
        record = logging.LogRecord("bentoml", logging.ERROR, __file__, 1, "it %s", ("failed",), sys.exc_info())
    line = JsonLines().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert said["message"] == "it failed" and "RuntimeError: two" in said["traceback"]


# Settings and description


def test_settings_from_environment():
    settings = Settings.from_environment(
        {"OCRFORMER_MAX_IMAGES": "7", "OCRFORMER_TIMEOUT": "2.5", "OCRFORMER_API_KEY": "k"}
    )
    assert (settings.max_images, settings.timeout, settings.api_key) == (7, 2.5, "k")
    assert Settings.from_environment({}) == Settings()
    for wrong in ("many", "-1", "0"):
        with pytest.raises(ValueError, match="OCRFORMER_QUEUE"):
            Settings.from_environment({"OCRFORMER_QUEUE": wrong})


def test_description_names_every_way_and_error():
    document = description(with_key=True)
    read = document["paths"]["/read"]["post"]
    assert set(read["requestBody"]["content"]) == {"multipart/form-data", "application/json", "image/*"}
    assert {"200", "400", "401", "408", "413", "415", "429", "504"} <= set(read["responses"])
    assert document["security"] and not description(with_key=False).get("security")
