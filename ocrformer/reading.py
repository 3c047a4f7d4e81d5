"""What decoding found in a line: ids with log-probabilities and places, joined from pieces, and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import numpy.typing as npt

from ocrformer.long_lines import Piece, join
from ocrformer.model.network import STRIDE

_LESS = "less text than the CTC head sees"
_FEW = 3  # characters by which two texts may differ in length for any reason


@dataclass(frozen=True)
class Reading:
    """One piece as decoded: ids, their log-probabilities (and the end's, if there is one), CTC frames, CTC text."""

    ids: list[int]
    log_probs: npt.NDArray[np.float32]
    frames: npt.NDArray[np.int64]
    ctc_ids: list[int]

    def sureness(self, characters: int) -> float:
        """Mean log-probability of so many characters, a Hangul syllable being one; least of all where there is none."""
        return float(self.log_probs.sum()) / characters if characters else -math.inf


Placed = tuple[Reading, npt.NDArray[np.floating[Any]]]
"""The reading of a line, and the column of each of its ids."""


def joined(pieces: list[Piece], readings: list[Reading]) -> Placed:
    """One reading of all pieces, and the column of each of its ids in the whole line."""
    if len(readings) == 1:
        return readings[0], (readings[0].frames + 0.5) * STRIDE
    columns = [(reading.frames + 0.5) * STRIDE for reading in readings]
    kept = join(pieces, columns)
    ids = [i for reading, keep in zip(readings, kept, strict=True) for i in np.array(reading.ids, int)[keep].tolist()]
    parts = [r.log_probs[: len(r.ids)][keep] for r, keep in zip(readings, kept, strict=True)]
    ends = [r.log_probs[len(r.ids) :].sum() for r in readings if len(r.log_probs) > len(r.ids)]
    log_probs = np.concatenate([*parts, [np.float32(sum(ends))]] if ends else parts)
    where = np.concatenate([c[keep] + piece.start for piece, c, keep in zip(pieces, columns, kept, strict=True)])
    ctc_ids = ids if all(r.ids == r.ctc_ids for r in readings) else [i for r in readings for i in r.ctc_ids]
    return Reading(ids, log_probs, (where / STRIDE).astype(np.int64), ctc_ids), where


def tidied(placed: Placed, space: int) -> Placed:
    """Without the spaces that a text has not: at its ends, and behind another; what they cost stays in the line's sum.

    Seldom are there any, but where spaces and little else are allowed.
    """
    reading, columns = placed
    kept = _inner(reading.ids, space)
    if len(kept) == len(reading.ids):
        return placed
    ids, log_probs = reading.ids, reading.log_probs
    rest = np.float32(log_probs.sum() - log_probs[kept].sum())
    seen = [reading.ctc_ids[index] for index in _inner(reading.ctc_ids, space)]
    tidy = Reading([ids[index] for index in kept], np.append(log_probs[kept], rest), reading.frames[kept], seen)
    return tidy, columns[kept]


def _inner(ids: list[int], space: int) -> list[int]:
    """Places of the ids that are no space at the beginning, behind another, or at the end."""
    kept = [index for index, i in enumerate(ids) if i != space or (index and ids[index - 1] != space)]
    return kept[:-1] if kept and ids[kept[-1]] == space else kept


def verdict(reading: Reading) -> tuple[str, str]:
    """Status of a line, and the reason if it is `suspect`.

    The CTC head is the witness: it sees the same picture and cannot invent text. Nothing is changed for suspicion.
    """
    text, seen = reading.ids, reading.ctc_ids
    if not text:
        return ("suspect", _LESS) if len(seen) > _FEW else ("empty", "")
    if text == seen:
        return "ok", ""
    if _repeats_at_end(text) > _repeats_at_end(seen) + _FEW:
        return "suspect", "the decoder repeats itself"
    if len(text) > 1.3 * len(seen) + _FEW:
        return "suspect", "more text than the CTC head sees"
    if len(text) < 0.7 * len(seen) - _FEW:
        return "suspect", _LESS
    if SequenceMatcher(None, text, seen, autojunk=False).ratio() < 0.5:
        return "suspect", "decoder and CTC head disagree"
    return "ok", ""


def _repeats_at_end(ids: list[int]) -> int:
    """How many ids at the end go on repeating a unit of up to eight ids, after its first time."""
    most = 0
    for unit in range(1, 9):
        count = 0
        while count + unit < len(ids) and ids[-1 - count] == ids[-1 - count - unit]:
            count += 1
        most = max(most, count)
    return most
