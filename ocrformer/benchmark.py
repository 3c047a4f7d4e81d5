"""Speed and accuracy on real lines, beside other programs in the same run; shown as ratios."""

from __future__ import annotations

import logging
import math
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from ocrformer import metrics
from ocrformer.config import DecodeOptions
from ocrformer.image import PAPER
from ocrformer.line import Line
from ocrformer.peers import LineReader, PeerError
from ocrformer.reader import OCRformer
from ocrformer.workers import Workers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rate:
    """How fast and how well one program reads one folder.

    Attributes:
        name: Program, or mode of this one.
        lines_per_second: Median over the repetitions.
        slowest: Least over the repetitions.
        fastest: Most over the repetitions.
        cer: Case-folded character error rate.
        exact: Share of lines without error, case-folded.
    """

    name: str
    lines_per_second: float
    slowest: float
    fastest: float
    cer: float
    exact: float


def own(readers: Mapping[str, OCRformer], modes: Sequence[str]) -> dict[str, LineReader]:
    """This program's modes by every runtime as contestants, each from files to texts."""

    def contestant(reader: OCRformer, mode: str) -> LineReader:
        options = DecodeOptions(mode=mode)
        return lambda paths: [line.text for line in reader.read(paths, options)]

    first = next(iter(readers))
    return {
        mode if runtime == first else f"{mode} ({runtime})": contestant(reader, mode)
        for runtime, reader in readers.items()
        for mode in modes
    }


def race(
    contestants: Mapping[str, LineReader], paths: Sequence[Path], truth: Sequence[str], repetitions: int
) -> list[Rate]:
    """Every contestant reads all files, in turns, so that a slow minute of the machine hits all of them.

    Args:
        contestants: By name; who cannot read all files is left out, with a warning.
        paths: Image files.
        truth: Their texts.
        repetitions: Turns, after one that is not counted.
    """
    seconds: dict[str, list[float]] = {}
    texts: dict[str, list[str]] = {}
    for name, read in contestants.items():
        try:
            texts[name], seconds[name] = read(paths), []
        except PeerError as error:
            logger.warning("%s is left out: %s", name, error)
    for _ in range(repetitions):
        for name in texts:
            seconds[name].append(_timed(lambda name=name: contestants[name](paths))[0])  # type: ignore[misc]
    return [_rate(name, seconds[name], metrics.score(truth, texts[name])) for name in texts]


def _rate(name: str, seconds: Sequence[float], score: metrics.Score) -> Rate:
    rates = sorted(score.lines / taken for taken in seconds)
    return Rate(name, statistics.median(rates), rates[0], rates[-1], score.cer, score.exact)


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def latency(read: LineReader, paths: Sequence[Path]) -> tuple[float, float]:
    """Median and 95th percentile of the milliseconds for one line alone, warm but where calls start a process."""
    read(paths[:1])
    milliseconds = [1000 * _timed(lambda path=path: read([path]))[0] for path in paths]  # type: ignore[misc]
    return float(np.percentile(milliseconds, 50)), float(np.percentile(milliseconds, 95))


def start_up(path: Path, options: Sequence[str]) -> float:
    """Seconds that `ocrformer read one.png` takes from the shell, with some options; median of three after one."""
    command = [sys.executable, "-m", "ocrformer", "read", *options, str(path)]
    taken = [_timed(lambda: subprocess.run(command, check=True, capture_output=True))[0] for _ in range(4)]
    return statistics.median(taken[1:])


def decoder_cost(
    reader: OCRformer, paths: Sequence[Path], modes: Sequence[str], together: int
) -> tuple[dict[str, float], int | None]:
    """What decoding adds to encoding and CTC at one look, batch by batch in turns.

    Args:
        reader: Whose decoder is measured.
        paths: Image files, read in the order of their widths.
        modes: Of them those that ask the decoder, but for `beam`.
        together: Lines in a batch.

    Returns:
        Microseconds of one core per decoded character by mode, and in how many lines `draft` and `greedy` differ, if
        both are among the modes.
    """
    lines = sorted((reader.prepare(path) for path in paths), key=lambda line: line.shape[1])
    modes = [mode for mode in modes if mode not in ("ctc", "beam")]
    spent, texts, read = defaultdict[str, float](float), defaultdict[str, list[str]](list), dict[str, list[Line]]()
    for start in range(0, len(lines), together):
        batch = lines[start : start + together]
        reader.read_prepared(batch)
        taken = dict.fromkeys(("ctc", *modes), math.inf)
        for mode in (*taken, *taken):  # the better of two turns: what decoding adds is little beside the noise of one
            options = DecodeOptions(mode=mode, second_look=False)
            seconds, read[mode] = _timed(lambda batch=batch, options=options: reader.read_prepared(batch, options))  # type: ignore[misc]
            taken[mode] = min(taken[mode], seconds)
        for mode in taken:
            spent[mode] += taken[mode]
            texts[mode] += [line.text for line in read[mode]]
    cores = min(torch.get_num_threads(), together)  # a line alone is read by one
    each = {m: 1e6 * cores * (spent[m] - spent["ctc"]) / max(1, sum(map(len, texts[m]))) for m in modes}
    if not {"draft", "greedy"} <= set(modes):
        return each, None
    return each, sum(a != b for a, b in zip(texts["draft"], texts["greedy"], strict=True))


def share_of_peak(reader: OCRformer, lines: int = 64, width: int = 512) -> tuple[float, float]:
    """How near the encoder comes to the machine's matrix rate, each core with lines of its own, as in reading.

    Returns:
        Share of the measured peak that encoding reaches, and the peak in GFLOP/s, of matrices in the floating-point
        precision that reading uses; what is computed in eight-bit integers can pass it.
    """
    one, other = (torch.randn(2048, 2048, dtype=reader.recogniser.precision) for _ in range(2))
    peak = 2 * 2048**3 / _best(lambda: one @ other)
    images = torch.full((lines, 1, reader.network.config.height, width), PAPER, dtype=torch.uint8)
    widths = torch.full((lines,), width)
    workers = Workers(torch.get_num_threads())

    @torch.inference_mode()
    def encode(_: int) -> None:
        reader.recogniser.encode([(images, widths)])

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        reader.network.encode(images, widths)  # the same work, whoever does it
    work = workers.count * counter.get_total_flops()
    return work / _best(lambda: workers.map(encode, range(workers.count))) / peak, peak / 1e9


def _best(work: Callable[[], object], times: int = 12) -> float:
    return min(_timed(work)[0] for _ in range(times))
