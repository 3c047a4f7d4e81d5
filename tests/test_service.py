"""The service as a running process: what clients see, good and bad, many at once."""

import asyncio
import base64
import io
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from ctypes.util import find_library

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image, ImageDraw

from ocrformer import OCRformer
from ocrformer.workers import cores
from tests.conftest import ROOT
from tests.serving import serving


@pytest.fixture(scope="module")
def url(model, tmp_path_factory):
    limits = {"max_images": 50, "max_body": 5_000_000, "max_pixels": 1_000_000, "body_timeout": 3}
    with serving(model, tmp_path_factory.mktemp("serve"), **limits) as address:
        yield address


@pytest.fixture(scope="module")
def reader(model):
    return OCRformer.from_pretrained(model, "cpu")


def png(index, width=None):
    rng = random.Random(index)
    image = Image.new("L", (width or rng.randint(40, 400), rng.randint(18, 48)), 255)
    ImageDraw.Draw(image).text((4, 4), f"line {index} " + "x" * rng.randint(0, 20), fill=0)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def files(*contents):
    return [("images", (f"{i}.png", content, "image/png")) for i, content in enumerate(contents)]


def read(url, *contents, **options):
    return httpx.post(f"{url}/read", files=files(*contents), data=options, timeout=30)


def test_answers_are_what_read_gives(url, reader):
    images = [png(i) for i in range(20)]
    answer = read(url, *images).json()
    assert [entry["text"] for entry in answer["images"]] == [line.text for line in reader.read(images)]
    assert [entry["file"] for entry in answer["images"]] == [f"{i}.png" for i in range(20)]
    assert answer["model"] == "tiny.safetensors"


def test_plain_text_for_the_command_line(url, reader):
    images = [png(1), png(2)]
    response = httpx.post(f"{url}/read", files=files(*images), headers={"Accept": "text/plain"})
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text == "".join(f"{line.text}\n" for line in reader.read(images))


def test_a_bad_image_is_an_entry_and_the_others_are_answered(url, reader):
    bad = png(3)[:60]
    response = read(url, png(1), bad, b"hello", png(2))
    assert response.status_code == 200
    entries = response.json()["images"]
    assert [entry["error"] and entry["error"]["code"] for entry in entries] == [None, "damaged", "unsupported", None]
    assert "1.png" in entries[1]["error"]["message"]
    assert [entries[0]["text"], entries[3]["text"]] == [line.text for line in reader.read([png(1), png(2)])]


def test_all_bad_is_a_client_error(url):
    assert read(url, b"hello").status_code == 400
    assert read(url, b"").status_code == 400


def test_characters_with_boxes_on_request(url):
    entry = read(url, png(5), characters="true").json()["images"][0]
    assert "".join(c["text"] for c in entry["characters"]).split() == entry["text"].split()
    for character in entry["characters"]:
        left, top, right, bottom = character["box"]
        assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert read(url, png(5)).json()["images"][0]["characters"] is None


def test_allowed_characters(url):
    for entry in read(url, *[png(i) for i in range(5)], charset="0123456789").json()["images"]:
        assert set(entry["text"]) <= set("0123456789")
    refused = read(url, png(1), charset="α")
    assert refused.status_code == 400 and "α" in refused.json()["error"]["message"]


def test_results_never_cross_between_concurrent_requests(url, reader):
    """Eighty clients at once with different images and options."""
    images = [png(i) for i in range(60)]
    expected = {mode: [line.text for line in reader.read(images, _options(mode))] for mode in ("draft", "ctc")}

    async def client(session, number):
        rng = random.Random(number)
        chosen = rng.sample(range(60), rng.randint(1, 6))
        mode = rng.choice(["draft", "ctc"])
        response = await session.post(
            f"{url}/read", files=files(*(images[i] for i in chosen)), data={"mode": mode}, timeout=60
        )
        assert [e["text"] for e in response.json()["images"]] == [expected[mode][i] for i in chosen]

    async def everyone():
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=80)) as session:
            await asyncio.gather(*(client(session, number) for number in range(80)))

    asyncio.run(everyone())


def _options(mode):
    from ocrformer import DecodeOptions

    return DecodeOptions(mode=mode)


@pytest.mark.parametrize("path", ["/read", "/attention"])
def test_examples_of_the_description_are_answered(url, path):
    """But for the example's picture, which is of one pixel."""
    body = httpx.get(f"{url}/docs.json").json()["paths"][path]["post"]["requestBody"]
    example = body["content"]["application/json"]["example"]
    example["images"][0]["data"] = base64.b64encode(png(1)).decode()
    assert httpx.post(url + path, json=example).status_code == 200


def test_attention_as_picture_animation_page_and_values(url):
    kinds = {"image/png": b"\x89PNG", "image/gif": b"GIF8", "text/html": b"<!doctype html>", "application/json": b"{"}
    for kind, beginning in kinds.items():
        response = httpx.post(f"{url}/attention", files=files(png(1)), headers={"Accept": kind})
        assert response.status_code == 200
        assert response.headers["content-type"].startswith(kind)
        assert response.content.startswith(beginning)
    values = response.json()
    assert len(values["characters"]) == values["picture"]["shape"][2] - 1
    assert httpx.post(f"{url}/attention", files=files(b"broken")).status_code == 400
    assert httpx.post(f"{url}/attention", files=files(png(1), png(2))).status_code == 413


@pytest.mark.parametrize("route", ["read", "attention"])
def test_characters_that_the_model_cannot_write_are_refused(url, route):
    response = httpx.post(f"{url}/{route}", files=files(png(1)), data={"charset": "ab\x15\uab23"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_option"


def test_facts_health_and_metrics(url, model):
    import hashlib
    from pathlib import Path

    facts = httpx.get(f"{url}/model").json()
    assert facts["checksum"] == hashlib.sha256(Path(model).read_bytes()).hexdigest()
    assert "A" in facts["charset"] and facts["version"]
    for path in ("/livez", "/readyz"):
        assert httpx.get(url + path).status_code == 200
    before = _metric(url, "ocrformer_images_total")
    read(url, png(1), b"broken")
    assert _metric(url, "ocrformer_images_total") == before + 2
    text = httpx.get(f"{url}/metrics").text
    for name in ("requests", "characters", "batch_lines", "queue_seconds", "model_seconds"):
        assert f"ocrformer_{name}" in text
    for number in range(3):
        httpx.get(f"{url}/nowhere-{number}")
    assert "nowhere" not in httpx.get(f"{url}/metrics").text  # which would grow with whatever is asked for


def _metric(url, name):
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def test_pages_are_local_and_guarded(url):
    for path in ("/", "/docs", "/static/app.js", "/static/style.css", "/static/swagger/swagger-ui-bundle.js"):
        response = httpx.get(url + path)
        assert response.status_code == 200, path
        assert response.headers["x-frame-options"] == "DENY"
    for path in ("/", "/docs"):
        text = httpx.get(url + path).text
        assert "http:" not in text.replace("http://www.w3.org", "") and "https:" not in text
        assert "googletagmanager" not in text
    for path in ("static/..%2fservice.py", "static/%2e%2e/service.py"):
        assert httpx.get(f"{url}/{path}").status_code == 404
    assert "access-control-allow-origin" not in httpx.get(url, headers={"Origin": "http://elsewhere"}).headers


def bomb(side=20_000):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((side + 1) * 50))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_limits(url):
    large = read(url, bomb())
    assert large.status_code == 413
    assert large.json()["images"][0]["error"]["code"] == "too_large"
    assert read(url, *[b"x"] * 51).status_code == 413
    body = httpx.post(f"{url}/read", content=bytes(6_000_000), headers={"Content-Type": "image/png"})
    assert body.status_code == 413
    parts = "".join(
        f'--x\r\nContent-Disposition: form-data; name="images"; filename="{i}"\r\n\r\n{i}\r\n' for i in range(10_000)
    )
    many = httpx.post(
        f"{url}/read",
        content=parts + "--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        timeout=30,
    )
    assert many.status_code == 413
    unread = httpx.post(f"{url}/read", content=b"x", headers={"Content-Type": "text/html"})
    assert (unread.status_code, unread.headers["connection"]) == (415, "close")  # more of it may be to come
    assert read(url, b"x").headers.get("connection") != "close"
    assert httpx.get(f"{url}/livez").status_code == 200


def test_mutated_images_never_break_the_server(url):
    rng = random.Random(0)
    original = png(7)
    for _ in range(10):
        mutated = []
        for _ in range(50):
            data = bytearray(original)
            for _ in range(rng.randint(1, 10)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            mutated.append(bytes(data[: rng.randint(10, len(data))] if rng.random() < 0.3 else data))
        response = read(url, *mutated)
        assert response.status_code in (200, 400)
        for entry in response.json()["images"]:
            assert (entry["error"] is None) != (entry["status"] == "failed")
    assert read(url, original).status_code == 200


def test_slow_clients_are_cut_off_and_do_not_block_others(url):
    host, port = url.removeprefix("http://").split(":")
    slow = []
    for _ in range(20):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(
            b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nab"
        )
        slow.append(connection)
    started = time.perf_counter()
    assert read(url, png(1)).status_code == 200
    assert time.perf_counter() - started < 3
    for connection in slow:
        connection.settimeout(10)
        assert b" 408 " in connection.recv(200)
        connection.close()


def test_clients_that_leave_do_no_harm(url):
    host, port = url.removeprefix("http://").split(":")
    body = png(1, width=400)
    for _ in range(30):
        connection = socket.create_connection((host, int(port)))
        head = f"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.close()
    assert read(url, png(1)).status_code == 200


def test_fuzzing_by_the_description(url, tmp_path):
    """A short run of schemathesis: no server error, every answer as described."""
    (tmp_path / "schemathesis.toml").write_text("")
    command = ["-m", "schemathesis.cli", "run", f"{url}/docs.json", "--url", url, "--max-examples", "25", "--seed", "1"]
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    result = subprocess.run(
        [sys.executable, *command, "--checks", checks, "--suppress-health-check", "all"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    assert httpx.get(f"{url}/livez").status_code == 200


@pytest.fixture(scope="module")
def locked(model, tmp_path_factory):
    with serving(model, tmp_path_factory.mktemp("locked"), api_key="geheim", queue=4, batch=1) as address:
        yield address


def test_api_key_over_http(locked):
    assert read(locked, png(1)).status_code == 401
    assert httpx.get(f"{locked}/model").status_code == 401
    assert httpx.get(f"{locked}/livez").status_code == 200
    assert httpx.get(f"{locked}/").status_code == 200
    for headers in ({"X-API-Key": "geheim"}, {"Authorization": "Bearer geheim"}):
        assert httpx.post(f"{locked}/read", files=files(png(1)), headers=headers).status_code == 200


def test_back_pressure(locked):
    """Far more lines than the queue holds: some are answered, the rest hear when to come back, none hangs."""

    async def everyone():
        headers = {"X-API-Key": "geheim"}
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=100), headers=headers) as session:
            posts = [session.post(f"{locked}/read", files=files(*[png(i)] * 3), timeout=60) for i in range(60)]
            return await asyncio.gather(*posts)

    responses = asyncio.run(everyone())
    codes = {response.status_code for response in responses}
    assert codes == {200, 429}
    refused = next(response for response in responses if response.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["error"]["code"] == "busy"


async def asking_first(address):
    """Head of the answer to a client that sends its body only when told to."""
    host, port = address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    fields = b"Host: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\nExpect: 100-continue"
    writer.write(b"POST /read HTTP/1.1\r\n" + fields + b"\r\n\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    return head.decode()


def test_a_full_service_refuses_without_parsing(model, tmp_path):
    """Whatever is sent while there is no room is answered with 429, before anybody has looked at it."""

    async def scenario(address):
        async with httpx.AsyncClient(timeout=60) as session:
            held = asyncio.ensure_future(session.post(f"{address}/read", files=files(*[png(i) for i in range(48)])))
            answers, asked = [], []
            while not held.done():
                headers = {"Content-Type": "application/json"}
                answers.append(await session.post(f"{address}/read", content=b"{" * 200_000, headers=headers))
                asked.append(await asking_first(address))
            return await held, answers, asked

    with serving(model, tmp_path, queue=1, batch=1) as address:
        held, answers, asked = asyncio.run(scenario(address))
        assert held.status_code == 200
        assert 429 in {answer.status_code for answer in answers}
        refused = [head for head in asked if head.startswith("HTTP/1.1 429")]
        assert refused and all("connection: close" in head.lower() for head in refused)  # its body may be to come
        assert read(address, png(1)).status_code == 200


def test_shutdown_answers_what_is_in_flight(model, tmp_path):
    images = [png(i) for i in range(40)]
    with serving(model, tmp_path, batch=1) as address:
        port = address.rsplit(":")[-1]
        mine = psutil.Process().children()
        (server,) = [process for process in mine if port in process.cmdline()]

        async def ask():
            async with httpx.AsyncClient() as session:
                pending = asyncio.ensure_future(session.post(f"{address}/read", files=files(*images), timeout=60))
                await asyncio.sleep(0.15)
                os.kill(server.pid, signal.SIGTERM)
                return await pending

        response = asyncio.run(ask())
    assert response.status_code == 200
    assert len(response.json()["images"]) == 40
    assert "has died" not in (tmp_path / "serve.log").read_text()


def test_serve_command_and_logs(model, tmp_path):
    with serving(model, tmp_path) as address:
        read(address, png(1))
    log = (tmp_path / "serve.log").read_text()
    entries = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (entry,) = [entry for entry in entries if entry.get("path") == "/read"]
    assert entry["images"] == 1 and entry["status"] == 200 and entry["level"] == "info" and entry["time"]
    assert "Traceback" not in log


@pytest.mark.skipif(cores() == 1 or not find_library("tcmalloc_minimal"), reason="reads in its own process, or without")
def test_processes_that_read_allocate_by_tcmalloc_where_it_is_installed(url):
    readers = [child for child in psutil.Process().children(recursive=True) if "spawn_main" in str(child.cmdline())]
    assert readers
    for reader in readers:
        assert any("tcmalloc" in part.path for part in reader.memory_maps())


def test_bento_is_configured_with_the_weights():
    import tomllib

    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["bentoml"]["build"]
    assert build["docker"]["system_packages"] == ["libtcmalloc-minimal4"]
    assert build["service"] == "service.service:TextLines"
    assert any("weights" in pattern or pattern == "ocrformer/**" for pattern in build["include"])


def test_picture_arrays_survive_the_trip(url, reader):
    pixels = np.full((32, 100), 255, np.uint8)
    pixels[8:24, 10:90:6] = 0
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert read(url, buffer.getvalue()).json()["images"][0]["text"] == reader.read([pixels])[0].text
