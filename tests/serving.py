"""Starts a real `ocrformer serve` (which becomes `bentoml serve`) on a free loopback port, for tests."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.conftest import ROOT


@contextlib.contextmanager
def serving(model: str, home: Path, **settings: object) -> Iterator[str]:
    """URL of a running service; settings become OCRFORMER_ variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {f"OCRFORMER_{name.upper()}": str(value) for name, value in settings.items()}
    environment |= {"BENTOML_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ocrformer", "serve", "--model", model]
    log = (home / "serve.log").open("wb")
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], cwd=ROOT, env=environment, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process, home / "serve.log")
        yield url
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the service did not start:\n{log.read_text()[-3000:]}")
