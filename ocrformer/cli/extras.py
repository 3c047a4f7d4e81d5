"""Commands whose packages are optional say so in a sentence."""

from __future__ import annotations

from importlib.util import find_spec

import click


def need(module: str, extra: str) -> None:
    """Stop with a plain sentence if a package of an extra is missing."""
    if find_spec(module) is None:
        raise click.UsageError(f"this command needs more packages: pip install 'ocrformer[{extra}]'")
