"""The CTC head's side of decoding: best paths, alignments and scores of texts (Graves et al. 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ocrformer.charset import BLANK


@dataclass(frozen=True)
class Path:
    """Best CTC path of one line, with repeats and blanks removed.

    Attributes:
        ids: Character ids.
        frames: Frame of each id.
        score: Log-probability of the text, summed over all its alignments.
        log_probs: The score shared out to the ids by how unsure each one's frame is; the whole of it for no ids.
    """

    ids: list[int]
    frames: npt.NDArray[np.int64]
    score: float
    log_probs: npt.NDArray[np.float32]


def best_paths(log_probs: Tensor, frames: Tensor) -> list[Path]:
    """Best path of each line.

    Args:
        log_probs: (B, T, V), float32.
        frames: (B,) frames that belong to the line.
    """
    values, best = log_probs.max(dim=-1)  # (B, T)
    inside = torch.arange(best.shape[1], device=best.device)[None] < frames[:, None]
    changed = torch.ones_like(inside)
    changed[:, 1:] = best[:, 1:] != best[:, :-1]
    kept = (inside & changed & (best != BLANK)).cpu().numpy()
    texts = [path[keep].tolist() for path, keep in zip(best.cpu().numpy(), kept, strict=True)]
    scores = score(log_probs, frames, texts)
    return [
        Path(text, np.flatnonzero(keep), total, _shared(total, peaks[keep]))
        for text, keep, total, peaks in zip(texts, kept, scores, values.cpu().numpy(), strict=True)
    ]


def _shared(total: float, peaks: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The text's log-probability in parts as large as the doubt in each id's frame; at a border of two frames both
    are in doubt, though the id is not, so that the frames' own probabilities would say too little.
    """
    if not peaks.size:
        return np.array([total], np.float32)
    doubt = 1e-6 - peaks
    parts: npt.NDArray[np.float32] = np.asarray(total * doubt / doubt.sum(), np.float32)
    return parts


def realign(log_probs: Tensor, path: Path, ids: Sequence[int]) -> npt.NDArray[np.int64]:
    """Frame of each id of a text that its line's best path shares but for some ids in the midst: only they are aligned.

    Args:
        log_probs: (T, V) of the line.
        path: Its best path.
        ids: The text.

    Returns:
        Frames (len(ids),), increasing.
    """
    before = _in_common(path.ids, ids)
    after = _in_common(path.ids[before:][::-1], ids[before:][::-1])
    first = path.frames[before - 1] + 1 if before else 0
    last = path.frames[len(path.ids) - after] if after else len(log_probs)
    between = ids[before : len(ids) - after]
    if last - first < 2 * len(between):  # no room for them and the blanks between
        return align(log_probs.cpu().numpy(), ids)
    found = align(log_probs[first:last].cpu().numpy(), between) if between else path.frames[:0]
    return np.concatenate((path.frames[:before], first + found, path.frames[len(path.ids) - after :]))


def _in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Ids that both begin with."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def align(log_probs: npt.NDArray[np.float32], ids: Sequence[int]) -> npt.NDArray[np.int64]:
    """Frame of each id on the best alignment of a given text (Viterbi over blank-separated states).

    Args:
        log_probs: (T, V) of one line.
        ids: The text; at most T ids, counting a blank between equal neighbours.

    Returns:
        Frames (len(ids),), increasing; spread evenly if the text does not fit into the frames.
    """
    states = np.full(2 * len(ids) + 1, BLANK)
    states[1::2] = ids
    skip = np.full(len(states), -np.inf, np.float32)  # from one character to the next without a blank
    skip[3::2][states[3::2] != states[1:-2:2]] = 0
    emit = log_probs[:, states]  # (T, S)
    best = np.full((len(emit), 2 + len(states)), -np.inf, np.float32)  # from nowhere into the first two states
    best[0, 2:4] = emit[0, :2]
    for time in range(1, len(emit)):
        before = best[time - 1]
        best[time, 2:] = emit[time] + np.maximum(np.maximum(before[2:], before[1:-1]), before[:-2] + skip)
    state = len(states) - 1 if best[-1, -1] >= best[-1, -2] else len(states) - 2
    if not np.isfinite(best[-1, 2 + state]):
        return ((np.arange(len(ids)) + 0.5) * len(emit) / max(1, len(ids))).astype(np.int64)
    path = np.empty(len(emit), np.int64)
    path[-1] = state
    for time in range(len(emit) - 1, 0, -1):
        skipped, stepped, stayed = best[time - 1, state : state + 3].tolist()
        skipped += skip[state]
        state -= 0 if stayed >= max(stepped, skipped) else 1 if stepped >= skipped else 2
        path[time - 1] = state
    score = np.where(path % 2 == 1, emit[np.arange(len(emit)), path], -np.inf)
    return np.array([_peak(score, path == 2 * i + 1) for i in range(len(ids))], np.int64)


def _peak(score: npt.NDArray[np.float32], where: npt.NDArray[np.bool_]) -> int:
    return int(np.where(where, score, -np.inf).argmax())


def score(log_probs: Tensor, frames: Tensor, texts: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability of each text, summed over all its alignments.

    Args:
        log_probs: (B, T, V), float32.
        frames: (B,).
        texts: Ids of each line.
    """
    lengths = torch.tensor([len(text) for text in texts])
    targets = torch.tensor([token for text in texts for token in text], dtype=torch.long)
    losses = F.ctc_loss(log_probs.transpose(0, 1).cpu(), targets, frames.cpu(), lengths, reduction="none")
    scores: list[float] = (-losses).tolist()
    return scores
