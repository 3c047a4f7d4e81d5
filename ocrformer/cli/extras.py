"""What goes wrong is said in a sentence: missing packages, and errors that the user can mend."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ocrformer.charset import normalise
from ocrformer.label_tables import holds_labels
from ocrformer.remote import is_url, on_disk

if TYPE_CHECKING:
    from ocrformer.datasets import Sample


def need(module: str, extra: str) -> None:
    """Stop with a plain sentence if a package of an extra is missing."""
    if find_spec(module) is None:
        raise click.UsageError(f"this command needs more packages: pip install 'ocrformer[{extra}]'")


class Share(click.FloatRange):
    """A number from 0 to 1, which NaN is not."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        share = float(super().convert(value, param, ctx))
        return self.fail(f"{value!r} is no number.", param, ctx) if math.isnan(share) else share


@contextmanager
def plainly() -> Iterator[None]:
    """This package's own errors (of pictures, data sets, weights, outputs, ...) end a command with their sentence."""
    try:
        yield
    except ValueError as error:
        if not type(error).__module__.startswith("ocrformer."):
            raise
        raise click.UsageError(str(error)) from None


def apart(output: str, *inputs: str, within: bool = True) -> None:
    """Refuse an output that is one of the inputs, or lies there already in a folder of inputs.

    Args:
        output: A file, whether there or not.
        inputs: Files and folders that are read.
        within: Whether files in folders of inputs count, and new ones that would be taken for labels.
    """
    refusal = click.UsageError(f"{output}: would replace what is read; name another file")
    output, inputs = on_disk(output), tuple(map(on_disk, inputs))
    if is_url(output) and output in inputs:
        raise refusal
    target = Path(output)
    there = os.path.exists(output)  # noqa: PTH110 - pathlib raises on names too long for a file
    if not there and not (within and holds_labels(target.name)):
        return
    for place in (Path(place) for place in inputs if os.path.exists(place)):  # noqa: PTH110
        if there and target.samefile(place):
            raise refusal
        if within and place.resolve() in target.resolve().parents:
            what = "lies there already, among what is read" if there else f"would be taken for labels of {place}"
            raise click.UsageError(f"{output}: {what}; name a place outside")


def distinct(targets: Sequence[str]) -> None:
    """Refuse outputs that are one file."""
    again = next((t for i, t in enumerate(targets) if os.path.realpath(t) in map(os.path.realpath, targets[:i])), None)
    if again:
        raise click.UsageError(f"{again}: two outputs need a file each")


def labelled(name: str, samples: Sequence[Sample]) -> None:
    """Refuse lines whose labels are all empty: of no characters there is no error rate."""
    if not any(normalise(sample.text) for sample in samples):
        raise click.UsageError(f"{name}: all its labels are empty, so that there is no error rate")


def spare(target: str, samples: Iterable[Sample]) -> None:
    """Refuse an output that is one of the pictures of labelled lines, wherever they lie."""
    if os.path.exists(target):  # noqa: PTH110 - as in `apart`
        names = {sample.name for sample in samples}
        pages = {name.rpartition("#")[0] for name in names if "#" in name}  # of lines cut out of them
        if os.path.realpath(target) in map(os.path.realpath, names | pages):
            raise click.UsageError(f"{target}: would replace a labelled picture; name another file")


def unoccupied(target: str, *, overwrite: bool = True, like: str = "") -> None:
    """Make an output's folder, and refuse to replace what may not be replaced.

    Args:
        target: A file, whether there or not.
        overwrite: Whether a file that is there may be replaced.
        like: Only by the endings of which: a figure of yesterday may be, weights named by mistake may not.
    """
    from ocrformer.output_files import OutputError, make_ready, occupied

    make_ready(target)
    if not overwrite and occupied(target):
        raise OutputError(f"{target} exists: use --overwrite to replace it")
    if like and not target.lower().endswith(tuple(like.split())) and occupied(target):
        raise OutputError(
            f"{target} exists, and its name does not end in {' or '.join(like.split())}: name another file"
        )


def here(output: str) -> str:
    """The output, if it is on this machine; not every command can write elsewhere."""
    if is_url(output):
        raise click.UsageError(f"{output}: this command writes to this machine alone; name a local place")
    return output


def called(place: str, places: Sequence[str]) -> str:
    """A data set's name; its whole path where two have the same name."""
    name = Path(place).absolute().name
    return name if [Path(other).absolute().name for other in places].count(name) == 1 else place
