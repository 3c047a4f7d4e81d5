"""`make bench-service`: throughput and latency over HTTP beside reading in-process, then a long soak.

Starts the service on a free loopback port, sends every line image as a raw body from 1, 8 and 32 concurrent clients,
then eight images a request as a multipart form, and compares each load with `OCRformer.read` on the same bytes just
before it, as machines change their speed within a run. Every answer must be the text that reading in-process gives for
that image. The figures are medians of some turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from ocrformer import ImageError, OCRformer
from ocrformer.datasets import DatasetError, load_samples

_HOST = "127.0.0.1"
_LOADS = ((1, 1), (8, 1), (32, 1), (32, 8))
"""Clients, and images per request."""
_ALONE = 300  # images read one at a time
_BOUNDARY = "line-images"


@dataclass(frozen=True)
class Load:
    """What one load gave.

    Attributes:
        clients: Concurrent connections, each with one request at a time.
        bundled: Images per request.
        rate: Images per second.
        share: Of the rate of reading in-process just before.
        milliseconds: Latency of requests at the 50th, 95th and 99th percentile.
        wrong: Answers that are not the text of their image.
    """

    clients: int
    bundled: int
    rate: float
    share: float
    milliseconds: tuple[float, float, float]
    wrong: int

    @classmethod
    def typical(cls, turns: Sequence[Load]) -> Load:
        """Medians of several turns of one load; wrong answers of all of them."""
        rate, share = (float(np.median([getattr(one, name) for one in turns])) for name in ("rate", "share"))
        p50, p95, p99 = np.median([one.milliseconds for one in turns], axis=0).tolist()
        wrong = sum(one.wrong for one in turns)
        return cls(turns[0].clients, turns[0].bundled, rate, share, (p50, p95, p99), wrong)


def main() -> None:
    """Measure, print Markdown, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="samples", help="folder of labelled line images")
    parser.add_argument("--lines", type=int, default=1000, help="images used")
    parser.add_argument("--turns", type=int, default=3, help="repetitions of every load")
    parser.add_argument("--soak", type=int, default=0, help="requests of the soak at the end")
    parser.add_argument("--json", help="write all figures to this file")
    options = parser.parse_args()
    try:
        paths = [Path(sample.name) for sample in load_samples(options.data)][: options.lines]
    except DatasetError as error:
        parser.error(str(error))
    if not all(path.is_file() for path in paths):
        parser.error(f"{options.data}: measuring needs one image file per line")
    images = [path.read_bytes() for path in paths]
    reader = OCRformer.from_pretrained()
    try:
        texts = [line.text for line in reader.read(images)]
    except ImageError as error:
        parser.error(f"{options.data}: {error}")
    with service() as (port, process):
        asyncio.run(load(port, images, texts, 32))  # reading in-process is not at its first either
        turns = [[beside(reader, port, images, texts, *one) for one in _LOADS] for _ in range(options.turns)]
        loads = [Load.typical(same) for same in zip(*turns, strict=True)]
        alone = [latency(reader, port, images[:_ALONE], texts) for _ in range(options.turns)]
        growth = soak(port, process, images, texts, options.soak) if options.soak else None
    inside, over_http = np.median(alone, axis=0).tolist()
    print(report(loads, inside, over_http, growth))  # noqa: T201 - this is a program
    if options.json:
        figures = {"loads": [vars(one) for one in loads], "alone_ms": inside, "http_ms": over_http, "soak": growth}
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")


def beside(
    reader: OCRformer, port: int, images: Sequence[bytes], texts: Sequence[str], clients: int, bundled: int
) -> Load:
    """A load, and its rate as a share of one `read` of all images just before."""
    started = time.perf_counter()
    reader.read(images)
    inside = len(images) / (time.perf_counter() - started)
    measured = asyncio.run(load(port, images, texts, clients, bundled))
    return replace(measured, share=measured.rate / inside)


def latency(reader: OCRformer, port: int, images: Sequence[bytes], texts: Sequence[str]) -> tuple[float, float]:
    """Median milliseconds of reading one image alone, in-process and over HTTP from one client."""
    alone = []
    for image in images:
        started = time.perf_counter()
        reader.read([image])
        alone.append(1000 * (time.perf_counter() - started))
    return float(np.median(alone)), asyncio.run(load(port, images, texts, 1)).milliseconds[0]


@contextlib.contextmanager
def service() -> Iterator[tuple[int, psutil.Process]]:
    """Port and process of a running service."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "bentoml", "serve", "service.service:TextLines", "--host", _HOST]
        started = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | {"BENTOML_HOME": home, "BENTOML_DO_NOT_TRACK": "True"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(port)
            yield port, psutil.Process(started.pid)
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait(30)


def _wait(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError, urllib.error.URLError):
            if urllib.request.urlopen(f"http://{_HOST}:{port}/readyz", timeout=2).status == 200:
                return
        time.sleep(0.2)
    raise RuntimeError("the service did not start within a minute: try `ocrformer serve`")


async def load(
    port: int, images: Sequence[bytes], texts: Sequence[str], clients: int, bundled: int = 1, total: int = 0
) -> Load:
    """Send each image once, or `total` in all, from some clients, a few per request."""
    starts = iter(range(0, total or len(images), bundled))
    waits: list[float] = []
    wrong = 0

    async def client() -> None:
        nonlocal wrong
        reader, writer = await asyncio.open_connection(_HOST, port)
        for start in starts:
            chosen = [index % len(images) for index in range(start, min(start + bundled, total or len(images)))]
            began = time.perf_counter()
            answer = await _ask(reader, writer, [images[index] for index in chosen])
            waits.append(1000 * (time.perf_counter() - began))
            right = answer.split("\n")[:-1]
            wrong += sum(text != texts[i] for text, i in zip(right, chosen, strict=False)) + len(chosen) - len(right)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    rate = (total or len(images)) / (time.perf_counter() - started)
    p50, p95, p99 = np.percentile(waits, [50, 95, 99]).tolist()
    return Load(clients, bundled, rate, 0.0, (p50, p95, p99), wrong)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, images: Sequence[bytes]) -> str:
    """POST over a kept connection; sockets by hand because the client shares the cores it measures."""
    kind, body = ("image/png", images[0]) if len(images) == 1 else _form(images)
    head = f"POST /read HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Accept: text/plain\r\n\r\n".encode() + body)
    status, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    answer = (await reader.readexactly(int(headers["content-length"]))).decode()
    return answer if status.split()[1] == "200" else ""


def _form(images: Sequence[bytes]) -> tuple[str, bytes]:
    """Content type and body of a multipart form."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="line.png"\r\n\r\n'
    parts = [head.encode() + image + b"\r\n" for image in images]
    return f"multipart/form-data; boundary={_BOUNDARY}", b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()


def soak(
    port: int, process: psutil.Process, images: Sequence[bytes], texts: Sequence[str], requests: int
) -> dict[str, float]:
    """Resident megabytes half-way and after many requests, and how many answers were wrong."""
    first = asyncio.run(load(port, images, texts, 32, total=requests // 2))
    middle = _resident(process)
    second = asyncio.run(load(port, images, texts, 32, total=requests - requests // 2))
    after = _resident(process)
    return {"requests": requests, "middle": middle, "after": after, "growth": after / middle - 1,
            "wrong": first.wrong + second.wrong}  # fmt: skip


def _resident(process: psutil.Process) -> float:
    """Megabytes of a process and all below it; what they share counts once on Linux."""
    family = [process, *process.children(recursive=True)]
    sizes = [one.memory_full_info() for one in family]
    return float(sum(getattr(size, "pss", size.rss) for size in sizes)) / 1e6


def report(loads: Sequence[Load], inside: float, over_http: float, growth: dict[str, float] | None) -> str:
    """The figures as Markdown."""
    lines = [
        "| clients | images a request | images/s | share of in-process | p50 ms | p95 ms | p99 ms | wrong answers |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {one.clients} | {one.bundled} | {one.rate:.0f} | {one.share:.0%} "
            f"| {' | '.join(f'{taken:.1f}' for taken in one.milliseconds)} | {one.wrong} |"
            for one in loads
        ),
        "",
        f"One image alone (median): {inside:.1f} ms in-process, {over_http - inside:+.1f} ms over HTTP.",
    ]
    if growth:
        lines.append(
            f"Soak of {growth['requests']:.0f} requests: {growth['middle']:.0f} MB half-way, {growth['after']:.0f} MB "
            f"at the end ({growth['growth']:+.1%}), {growth['wrong']:.0f} wrong answers."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
