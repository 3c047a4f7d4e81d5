"""The same rows from many machines: Ray Data hands windows to a pool of actors that decode and read them."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home
os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")

import ray
import torch
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import RayError

from ocrformer.config import DecodeOptions
from ocrformer.reader import OCRformer
from ocrformer.transcribe import Result, Window, WindowReader, decode

_PARTITION = 128  # windows of one Ray data set, whose input is held in memory: some 130,000 images
_HELD = 256 * 1024 * 1024  # bytes of archive members of one Ray data set
_OBJECT_STORE = 400 * 1024 * 1024  # bytes, on this machine
_QUIET: dict[str, Any] = {"include_dashboard": False, "logging_level": "ERROR", "log_to_driver": False}


class ClusterError(ValueError):
    """A cluster that cannot be used, in one sentence."""


@dataclass(frozen=True)
class Job:
    """What every actor needs to know.

    Attributes:
        model: `default` or a weights file, present on all machines under this name.
        options: How to decode.
        min_confidence: Less confident lines are marked `suspect`.
        timing: Note the milliseconds of each row.
        device: Device to read on; with `cuda` each actor takes a GPU, with None it reads on its core.
        runtime: What runs the encoder; see `OCRformer.from_pretrained`.
        folder: Where relative names begin, on machines that have it.
    """

    model: str
    options: DecodeOptions
    min_confidence: float = 0.0
    timing: bool = False
    device: str | None = None
    runtime: str = "auto"
    folder: str = field(default_factory=os.getcwd)


class _Read:
    """Holds a reader; pickled window to pickled results. An actor, so that weights are loaded once."""

    def __init__(self, job: Job) -> None:
        torch.set_num_threads(1)  # an actor is given one core
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # as the command line does
        if os.path.isdir(job.folder):  # noqa: PTH112 - and not closed to this process
            os.chdir(job.folder)
        reader = OCRformer.from_pretrained(job.model, job.device, job.runtime)
        self.height = reader.network.config.height
        self.read_window = WindowReader(reader.read_prepared, job.options, job.min_confidence, job.timing)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        window: Window = pickle.loads(row["window"])
        decoded = (decode(item, self.height) for item in window.items)
        return {"results": pickle.dumps(self.read_window(window, decoded))}


class RayTranscriber:
    """Turns items into rows on a Ray cluster; the rows and their order are those of the local engine.

    Items must be reachable from all machines under the same names (shared folders, or URLs), and this package must be
    installed on them.

    Args:
        job: What to do.
        actors: Readers, each on one core; none for as many as there are cores.
        address: Cluster to join (`auto` or an address), or None to start one on this machine for this run.

    Raises:
        ClusterError: If the cluster cannot be reached, or has too few cores and would wait for ever.
    """

    def __init__(self, job: Job, *, actors: int | None = None, address: str | None = None) -> None:
        self.job = job
        asked = signal.getsignal(signal.SIGTERM)  # Ray puts a handler of its own in its place, which loses rows
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        if address is None:
            ray.init("local", object_store_memory=_OBJECT_STORE, **_QUIET)
        else:
            try:
                _knock(address)
                ray.init(address, **_QUIET)
            except (OSError, ValueError, RuntimeError) as error:
                raise ClusterError(f"no Ray cluster at {address}: {str(error).splitlines()[0]}") from None
        if signal.getsignal(signal.SIGTERM) is not asked:  # in the main thread alone
            signal.signal(signal.SIGTERM, asked)
        cores = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        self.actors = actors or cores
        if not cores or self.actors > cores:
            self.close()
            raise ClusterError(f"{self.actors} readers need a core each, but the cluster has {cores}: fewer --actors")

    def run(self, windows: Iterable[Window]) -> Iterator[list[Result]]:
        """Results window by window, in order of the items."""
        iterator = iter(windows)
        while partition := _partition(iterator):
            yield from self._run(partition)

    def _run(self, partition: list[Window]) -> Iterator[list[Result]]:
        context = DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        pickled = [{"window": pickle.dumps(window)} for window in partition]
        dataset = ray.data.from_items(pickled, override_num_blocks=len(pickled)).map(  # a block per window
            cast(Any, _Read),  # a class: each actor makes one
            fn_constructor_args=(self.job,),
            compute=ActorPoolStrategy(size=min(self.actors, len(pickled))),
            num_cpus=1,
            num_gpus=int((self.job.device or "cpu").startswith("cuda")),
        )
        try:
            for row in dataset.iter_rows():
                results: list[Result] = pickle.loads(row["results"])
                yield results
        except RayError as error:
            last = str(error).strip().splitlines()[-1]
            raise ClusterError(f"a reader of the cluster failed: {last}") from None

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        ray.shutdown()


def _partition(windows: Iterator[Window]) -> list[Window]:
    """The next windows, fewer where they hold much."""
    taken: list[Window] = []
    held = 0
    while len(taken) < _PARTITION and held < _HELD and (window := next(windows, None)) is not None:
        taken.append(window)
        held += sum(len(item.data or b"") for item in window.items)
    return taken


def _knock(address: str) -> None:
    """Raise OSError if nothing listens at a HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
