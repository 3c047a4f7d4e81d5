"""`ocrformer serve`: the HTTP service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from ocrformer.cli.extras import need


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--model", metavar="FILE", help="Weights to read with [default].")
@click.option("--workers", type=click.IntRange(1), help="Processes; torch threads are divided among them [1].")
def serve(host: str, port: int, model: str | None, workers: int | None) -> None:
    """Answer POSTed images over HTTP; further settings come from OCRFORMER_ variables (see the README)."""
    need("bentoml", "serve")
    root, target = _service()
    settings = {"OCRFORMER_MODEL": model and str(Path(model).resolve()), "OCRFORMER_WORKERS": workers and str(workers)}
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "True"} | {k: v for k, v in settings.items() if v}
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(port)]
    sys.exit(subprocess.call([*command, "--working-dir", str(root)], env=environment))


def _service() -> tuple[Path, str]:
    """Folder to serve from and the service in it: a checkout's `service/`, or the copy that a wheel brings."""
    package = Path(__file__).parent.parent
    for root, target in ((package.parent, "service"), (package / "_service", "service")):
        if (root / target / "service.py").is_file():
            return root, f"{target}.service:TextLines"
    raise click.UsageError("the service's files are not installed")
