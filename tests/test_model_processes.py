"""The service's model processes: what they read, and how they die."""

import asyncio
import io
import math
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import psutil
import pytest
from PIL import Image

import service.models
from ocrformer import DecodeOptions, ImageError, Line, OCRformer
from ocrformer.image import MAX_PIXELS
from ocrformer.model.network import save
from service.models import Models, _read, _read_with
from tests.conftest import ROOT, tiny_bundle


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
    models = Models(reader, runtime="torch", count=count, max_pixels=MAX_PIXELS, seconds=60)
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


def test_lines_that_nobody_waits_for_any_more_are_not_read(monkeypatch):
    monkeypatch.setattr("service.models._COLUMNS", 1 / DecodeOptions.batch_pixels)  # a portion for each line
    reader = OCRformer(tiny_bundle(seed=2))
    pictures = [("line.png", as_png(np.zeros((32, 200), np.uint8)))] * 3
    now = iter((*[0.0] * 6, 0.0, 5.0, 11.0))  # twice for each picture that is decoded, once for each that is read
    monkeypatch.setattr("service.models.time.monotonic", lambda: next(now))
    *read, late = _read_with(reader, pictures, DecodeOptions(), MAX_PIXELS, 10.0)
    assert all(isinstance(line, Line) for line in read)
    assert isinstance(late, ImageError) and late.code == "timeout" and "line.png: not read in time" in str(late)


def test_pictures_that_nobody_waits_for_any_more_are_not_decoded(monkeypatch):
    reader = OCRformer(tiny_bundle(seed=2))
    monkeypatch.setattr(reader, "prepare", lambda *_, **__: pytest.fail("decoded"))
    results = _read_with(reader, [("line.png", b"")] * 3, DecodeOptions(), MAX_PIXELS, -1.0)
    assert [result.code for result in results] == ["timeout"] * 3


def stuck(pictures, options, *limits):
    """As model processes read, but for a picture whose decoding does not end."""
    if any(name == "endless.png" for name, _ in pictures):
        service.models._decoding_since = -math.inf
        time.sleep(60)
    return _read(pictures, options, *limits)


def test_a_picture_that_is_never_decoded_ends_its_process_alone(tmp_path):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    reader = OCRformer.from_pretrained(tmp_path / "tiny.safetensors", "cpu")
    content = as_png(np.full((32, 60), 255, np.uint8))
    models = Models(reader, runtime="torch", count=2, max_pixels=MAX_PIXELS, seconds=60)
    models._read = stuck
    fault, line = asyncio.run(models.read([("endless.png", content), ("a.png", content)], DecodeOptions()))
    assert isinstance(fault, ImageError) and fault.code == "damaged" and isinstance(line, Line)
    models.shutdown()


def deadly(pictures, options, *limits):
    """As model processes read, but for a picture that no process survives."""
    if any(name == "poison.png" for name, _ in pictures):
        os.kill(os.getpid(), signal.SIGKILL)
    return _read(pictures, options, *limits)


def test_a_picture_that_kills_its_process_harms_no_other(tmp_path):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    reader = OCRformer.from_pretrained(tmp_path / "tiny.safetensors", "cpu")
    content = as_png(np.random.default_rng(0).integers(0, 256, (32, 60), dtype=np.uint8))
    models = Models(reader, runtime="torch", count=2, max_pixels=MAX_PIXELS, seconds=60)
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


@pytest.mark.parametrize("reason", [BrokenProcessPool(), OSError("Resource temporarily unavailable")])
def test_no_picture_is_blamed_where_no_process_can_be_started(reason, tmp_path, monkeypatch):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    models = Models(
        OCRformer.from_pretrained(tmp_path / "tiny.safetensors", "cpu"),
        runtime="torch",
        count=2,
        max_pixels=MAX_PIXELS,
        seconds=60,
    )
    content = as_png(np.full((32, 60), 255, np.uint8))

    def no_memory(count):
        raise reason

    async def scenario():
        with monkeypatch.context() as patch:
            patch.setattr(models, "_start", no_memory)
            for process in model_processes():
                process.kill()
            for _ in range(2):
                assert models.ready()
                with pytest.raises(RuntimeError, match="no model process can be started"):
                    await models.read([("a.png", content)], DecodeOptions())
            assert not models.ready()  # and tries to start one
            await asyncio.gather(*models._starting)
            assert not models.ready()
        await asyncio.gather(*models._starting)
        assert models.ready()
        return await models.read([("a.png", content)], DecodeOptions())

    (line,) = asyncio.run(scenario())
    assert isinstance(line, Line)
    models.shutdown()


def test_model_processes_end_with_the_service(tmp_path):
    save(tmp_path / "tiny.safetensors", tiny_bundle(seed=2))
    code = f"""
import time
from ocrformer import OCRformer
from service.models import Models
if __name__ == "__main__":
    reader = OCRformer.from_pretrained({str(tmp_path / "tiny.safetensors")!r}, "cpu")
    models = Models(reader, runtime="torch", count=2, max_pixels=10**6, seconds=60)
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
