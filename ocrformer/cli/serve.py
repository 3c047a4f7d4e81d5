"""`ocrformer serve`: the HTTP service."""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from ocrformer.cli.extras import need


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--model", metavar="FILE", help="Weights to read with [default].")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer; cores are divided among them [1].")
def serve(host: str, port: int, model: str | None, workers: int | None) -> None:
    """Answer POSTed images over HTTP; further settings come from OCRFORMER_ variables (see the README)."""
    need("bentoml", "serve")
    root, target = _service()
    named = model or os.environ.get("OCRFORMER_MODEL") or "default"
    if named != "default" and not Path(named).is_file():
        raise click.UsageError(f"{named}: no such weights file")
    weights = named if named == "default" else str(Path(named).resolve())
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "True", "OCRFORMER_MODEL": weights}
    runtime = os.environ.get("OCRFORMER_RUNTIME", "")
    if Path(runtime).is_file():
        environment["OCRFORMER_RUNTIME"] = str(Path(runtime).resolve())  # the service has a folder of its own
    if workers:
        environment["OCRFORMER_WORKERS"] = str(workers)
    host = _check(root, environment, host, port)
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(port)]
    os.execvpe(sys.executable, [*command, "--working-dir", str(root)], environment)  # signals are for the server


def _check(root: Path, environment: Mapping[str, str], host: str, port: int) -> str:
    """The host's address; end with a sentence where the server would begin again and again, or with a traceback."""
    from ocrformer.reader import OCRformer

    sys.path.insert(0, str(root))
    try:
        settings = importlib.import_module("service.settings").Settings.from_environment(environment)
        OCRformer.from_pretrained(settings.model, settings.device or None, settings.runtime)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, *_, (address, *_) = min(found, key=lambda one: one[0] != socket.AF_INET)
        socket.create_server((str(address), port), family=family).close()
        return str(address)
    except (OSError, UnicodeError) as error:  # the latter of a name that cannot be one: `a..b`
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"cannot listen on {host}, port {port} ({reason})") from None


def _service() -> tuple[Path, str]:
    """Folder to serve from and the service in it: a checkout's `service/`, or the copy that a wheel brings."""
    package = Path(__file__).parent.parent
    for root, target in ((package.parent, "service"), (package / "_service", "service")):
        if (root / target / "service.py").is_file():
            return root, f"{target}.service:TextLines"
    raise click.UsageError("the service's files are not installed")
