"""What decoding found in a line: ids with log-probabilities and places, joined from pieces, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrformer.long_lines import Piece, join
from ocrformer.model.network import STRIDE


@dataclass(frozen=True)
class Reading:
    """One piece as decoded: ids, their log-probabilities (with EOS, if the decoder wrote it), CTC frames, CTC text."""

    ids: list[int]
    log_probs: npt.NDArray[np.float32]
    frames: npt.NDArray[np.int64]
    ctc_ids: list[int]


def joined(pieces: list[Piece], readings: list[Reading]) -> tuple[Reading, npt.NDArray[np.floating[Any]]]:
    """One reading of all pieces, and the column of each of its ids in the whole line."""
    if len(readings) == 1:
        return readings[0], (readings[0].frames + 0.5) * STRIDE
    columns = [(reading.frames + 0.5) * STRIDE for reading in readings]
    kept = join(pieces, columns)
    ids = [i for reading, keep in zip(readings, kept, strict=True) for i in np.array(reading.ids, int)[keep].tolist()]
    log_probs = np.concatenate([r.log_probs[: len(r.ids)][keep] for r, keep in zip(readings, kept, strict=True)])
    where = np.concatenate([c[keep] + piece.start for piece, c, keep in zip(pieces, columns, kept, strict=True)])
    ctc_ids = ids if all(r.ids == r.ctc_ids for r in readings) else [i for r in readings for i in r.ctc_ids]
    return Reading(ids, log_probs, (where / STRIDE).astype(np.int64), ctc_ids), where


def status(reading: Reading) -> str:
    """`ok`, `empty`, or `suspect` where decoder and CTC head disagree widely."""
    if not reading.ids:
        return "empty"
    return "ok" if _agreement(reading.ids, reading.ctc_ids) >= 0.5 else "suspect"


def _agreement(one: list[int], other: list[int]) -> float:
    """Share of both texts that they have in common, in order; 1 for equal ones."""
    return 1.0 if one == other else SequenceMatcher(None, one, other, autojunk=False).ratio()
