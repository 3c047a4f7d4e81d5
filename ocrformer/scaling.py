"""How `ocrformer read` fares with many images: rate, memory, and how both grow with number and width of lines."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ocrformer.config import DecodeOptions
from ocrformer.image import PAPER, Pixels
from ocrformer.reader import OCRformer

WIDTHS = (64, 128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048)
NUMBERS = (1_000, 5_000, 10_000, 30_000, 100_000)
_ALIKE = 32  # lines of one width that are read together
_MEGABYTE = 1e6


@dataclass(frozen=True)
class Run:
    """One run of `ocrformer read` over many images.

    Attributes:
        images: How many.
        rate: Images per second from the loaded model to the last row on disk.
        first_row: Seconds from the shell to the first row.
        memory: Megabytes that the process held at most.
    """

    images: int
    rate: float
    first_row: float
    memory: float


def transcribe(paths: Sequence[Path], options: Sequence[str], images: int | None = None) -> Run:
    """`ocrformer read` from the shell, as in transcribing a folder.

    Args:
        paths: Image files.
        options: More options of the command.
        images: How many to read, from the beginning again where the files do not suffice; by default each file once.
    """
    images = images or len(paths)
    with tempfile.TemporaryDirectory() as folder:
        output, listed, errors = (Path(folder) / name for name in ("rows.jsonl", "list", "errors"))
        listed.write_text("".join(f"{path}\n" for path in itertools.islice(itertools.cycle(paths), images)))
        command = [sys.executable, "-m", "ocrformer", "read", *options, "-f", "jsonl", "-o", str(output), "-"]
        started, first, memory = time.perf_counter(), 0.0, 0.0
        with (
            listed.open() as names,
            errors.open("w") as said,
            subprocess.Popen(command, stdin=names, stderr=said) as process,
        ):
            while process.poll() is None:
                if not first and output.exists() and output.stat().st_size:
                    first = time.perf_counter() - started
                memory = max(memory, _peak_so_far(process.pid))
                time.sleep(0.01)
        spent, summary = time.perf_counter() - started, errors.read_text()
    if process.returncode not in (0, 1):  # 1: some pictures cannot be read
        raise RuntimeError(f"ocrformer read ended with status {process.returncode}: {summary.strip()[-500:]}")
    found = re.search(r"([\d,]+) images/s$", summary.strip())  # a single image gets no summary
    rate = float(found[1].replace(",", "")) if found else images / spent
    return Run(images, rate, first or spent, memory)


def _peak_so_far(process: int) -> float:
    """Megabytes that a running process has held at most (Linux); 0 once it has ended."""
    try:
        rows = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((1024 * float(row.split()[1]) / _MEGABYTE for row in rows if row.startswith("VmHWM")), 0.0)


def torch_memory() -> float:
    """Megabytes that a process holds which has imported torch and nothing else (Linux)."""
    # Not ru_maxrss: a new process inherits that of the one which started it.
    code = "import torch; print(next(row for row in open('/proc/self/status') if row.startswith('VmHWM')))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return 1024 * float(result.stdout.split()[1]) / _MEGABYTE


def by_width(reader: OCRformer, lines: Sequence[Pixels], mode: str, widths: Sequence[int] = WIDTHS) -> dict[int, float]:
    """Milliseconds for a line of each width, when lines of the same width are read together.

    Args:
        reader: Reads them.
        lines: Prepared lines of text; put side by side to fill a width.
        mode: How to decode. `ctc` is the encoder alone; lines put together so make no sense, decoders doubt them, and
            they are not looked at twice.
        widths: In pixels at the height of the model.
    """
    gap = np.full((lines[0].shape[0], 12), PAPER, np.uint8)
    text = np.concatenate([part for line in lines for part in (line, gap)], axis=1)
    text = np.tile(text, -(-_ALIKE * max(widths) // text.shape[1]))
    costs = {}
    for width in widths:
        alike = [text[:, start : start + width] for start in range(0, _ALIKE * width, width)]
        costs[width] = 1000 * min(_seconds(reader, alike, mode) for _ in range(4)) / _ALIKE
    return costs


def _seconds(reader: OCRformer, lines: Sequence[Pixels], mode: str) -> float:
    started = time.perf_counter()
    reader.read_prepared(lines, DecodeOptions(mode=mode, second_look=False))
    return time.perf_counter() - started


def plot(target: Path, costs: Mapping[str, Mapping[int, float]], runs: Sequence[Run]) -> None:
    """Draw cost against width, seconds against number and memory against number (SVG, PNG or PDF by the name)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    width, seconds, memory = figure.subplots(1, 3)
    images = [run.images for run in runs]
    for mode, cost in costs.items():
        width.plot(list(cost), list(cost.values()), marker="o", label=mode)
    width.legend()
    width.set(xlabel="width of a line at 32 pixels height", ylabel="milliseconds a line")
    seconds.plot(images, [run.images / run.rate for run in runs], marker="o")
    seconds.set(xlabel="images", ylabel="seconds")
    memory.plot(images, [run.memory for run in runs], marker="o")
    memory.set(xlabel="images", ylabel="peak memory, MB", xscale="log")
    for axes in (width, seconds, memory):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)
