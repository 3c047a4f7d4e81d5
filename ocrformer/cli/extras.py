"""What goes wrong is said in a sentence: missing packages, and errors that the user can mend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click


def need(module: str, extra: str) -> None:
    """Stop with a plain sentence if a package of an extra is missing."""
    if find_spec(module) is None:
        raise click.UsageError(f"this command needs more packages: pip install 'ocrformer[{extra}]'")


@contextmanager
def plainly() -> Iterator[None]:
    """This package's own errors (of pictures, data sets, weights, outputs, ...) end a command with their sentence."""
    try:
        yield
    except ValueError as error:
        if not type(error).__module__.startswith("ocrformer."):
            raise
        raise click.UsageError(str(error)) from None


def apart(output: str, *inputs: str) -> None:
    """Refuse an output that is one of the inputs, or lies there already in a folder of inputs."""
    target = Path(output)
    if not target.exists():
        return
    for place in map(Path, inputs):
        if place.exists() and (target.samefile(place) or place.resolve() in target.resolve().parents):
            raise click.UsageError(f"{output}: would replace what is read; name another file")


def called(place: str, places: Sequence[str]) -> str:
    """A data set's name; its whole path where two have the same name."""
    name = Path(place).absolute().name
    return name if [Path(other).absolute().name for other in places].count(name) == 1 else place
