"""The decoder's side of decoding: parallel verification of drafts, step by step, choice with CTC.

Ids and log-probabilities only. Every function is free of state, so that many threads may share a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ocrformer import ctc
from ocrformer.charset import BLANK, BOS, EOS, SPECIALS
from ocrformer.draft import Draft, Judged
from ocrformer.model.attention import KVCache, Packing
from ocrformer.model.decoder import Decoder, Memory
from ocrformer.model.folded import any_shape

_MAX_PASSES = 16
"""Verification passes before a line is decoded anew, step by step, or given up where there are margins."""
_STEP = 8
"""Passes cover multiples of so many tokens a line, and later ones powers of two of lines: each new shape of a matrix
in bfloat16 costs a CPU a new kernel, whose making takes longer than the arithmetic."""
_TOKENS = 64
"""And multiples of so many tokens in all."""


@dataclass(frozen=True)
class Hypothesis:
    """One decoded line.

    Attributes:
        ids: Character ids, without BOS and EOS.
        log_probs: Decoder log-probability of each id and of EOS after them, (len(ids) + 1,); without the EOS where
            the line was cut at its limit.
        leads: By how much, in nats, the first of them were more probable than any other, as far as that was asked.
    """

    ids: list[int]
    log_probs: npt.NDArray[np.float32]
    leads: npt.NDArray[np.float32] | None = None

    @property
    def score(self) -> float:
        """Log-probability of the whole line."""
        return float(self.log_probs.sum())


def constraint(vocabulary: int, allowed: Sequence[int] | None, *, of_ctc: bool) -> Tensor:
    """Additive logits (V,): 0 for what may be written, -inf for the rest.

    Args:
        vocabulary: V.
        allowed: Permitted character ids, or None for all.
        of_ctc: For the CTC head (blank, no EOS) or for the decoder (EOS, no blank).
    """
    bias = torch.full((vocabulary,), -torch.inf)
    bias[list(allowed) if allowed is not None else slice(SPECIALS, None)] = 0.0
    bias[BLANK if of_ctc else EOS] = 0.0
    return bias


def _ask(
    decoder: Decoder, memory: Memory, lines: Sequence[Draft], bias: Tensor, caches: list[KVCache]
) -> tuple[list[Judged], list[npt.NDArray[np.float32]]]:
    """What the decoder makes of each line's open tokens, and their own log-probabilities.

    The memory may have more lines; caches hold what is done, and are extended.
    """
    targets = [line.target() for line in lines]
    starts = [len(line.done) for line in lines]
    logits = (_logits_alone if len(lines) == 1 else _logits)(decoder, memory, targets, starts, caches)
    log_probs = (logits + bias.to(logits.device)).float().log_softmax(dim=-1)  # (S, V)
    scores, best = log_probs.max(dim=-1)
    open_ = torch.tensor([token for target, start in zip(targets, starts, strict=True) for token in target[start:]])
    own = log_probs.gather(1, open_.to(logits.device)[:, None])[:, 0]
    others = log_probs.scatter_(1, best[:, None], -torch.inf).amax(dim=-1)
    values = [x.cpu().numpy() for x in (open_, best, scores, scores - others, own)]
    ends = accumulate(len(target) - start for target, start in zip(targets, starts, strict=True))
    parts = [[x[begin:end] for x in values] for begin, end in pairwise((0, *ends))]
    return [Judged(*part[:4]) for part in parts], [part[4] for part in parts]


def _logits(
    decoder: Decoder, memory: Memory, targets: Sequence[list[int]], starts: Sequence[int], caches: list[KVCache]
) -> Tensor:
    """Logits of the open tokens, line by line, (S, V)."""
    device = memory.mask.device
    shape = len(memory.mask), -(-max(map(len, targets)) // _STEP) * _STEP
    begins, ends = np.zeros((2, shape[0], 1), int)  # lines beyond those asked about have no token
    begins[: len(targets), 0], ends[: len(targets), 0] = starts, [len(target) for target in targets]
    places = np.arange(shape[1])
    tokens = np.full(shape, BLANK)
    tokens[places < ends] = [token for target in targets for token in (BOS, *target[:-1])]
    open_ = (places >= begins) & (places < ends)
    packing = Packing.of(torch.from_numpy(open_), 1 if any_shape(memory.keys[0]) else _TOKENS).to(device)
    logits = decoder(torch.from_numpy(tokens).to(device), memory, caches=caches, packing=packing)
    wanted: Tensor = logits[: open_.sum()]
    return wanted


def _logits_alone(
    decoder: Decoder, memory: Memory, targets: Sequence[list[int]], starts: Sequence[int], caches: list[KVCache]
) -> Tensor:
    """The same for a single line, which has no padding to leave out; some that is done is read again for its shape."""
    (target,), (begin,) = targets, starts
    done = begin % _STEP
    given = [BOS, *target[:-1]][begin - done :]
    tokens = torch.tensor([given + [BLANK] * (-len(given) % _STEP)], device=memory.mask.device)
    for cache in caches:
        cache.cut(begin - done)
    logits: Tensor = decoder(tokens, memory, caches=caches, position=begin - done)[0, done : len(given)]
    return logits


def _filled(rows: list[int]) -> list[int]:
    """The rows, and the first of them again up to a power of two."""
    return [*rows, *rows[:1] * ((1 << (len(rows) - 1).bit_length()) - len(rows))]


def verify(
    decoder: Decoder,
    memory: Memory,
    drafts: Sequence[Sequence[int]],
    limits: Sequence[int],
    bias: Tensor,
    *,
    margins: Sequence[float] | None = None,
    tails: Sequence[npt.NDArray[np.float32]] | None = None,
) -> tuple[list[Hypothesis], list[Hypothesis]]:
    """Greedy autoregressive decoding at the cost of about one pass.

    The decoder reads the whole draft under a causal mask. Its choices agree with step-by-step decoding for as long as
    the draft does; the first disagreement gives the next token for free, the rest of the draft is re-attached, and
    only unfinished lines go on. (Input-guided aggressive decoding, arXiv 2205.10350; CTC drafts, arXiv 2603.11243.)

    Args:
        decoder: In eval mode.
        memory: Of B lines.
        drafts: A guess for each line; without margins and tails it decides the speed, never the result.
        limits: Most tokens of each line, EOS included.
        bias: From `constraint`.
        margins: For each line the log-probability that a text must have over its draft's to be of use. A line whose
            text falls short of that, or takes too many passes, is given up and keeps its draft. Without margins every
            line is decoded to its end.
        tails: For each line the log-probabilities of the tokens at its draft's end that need no look if all before
            them are right, EOS included; the scored drafts are without them. Not together with margins.

    Returns:
        The lines as decoded, and the drafts as the decoder scores them.
    """
    lines = [Draft(*draft) for draft in (zip(drafts, tails, strict=True) if tails is not None else zip(drafts))]
    active = list(range(len(lines)))
    scored: list[Hypothesis] = []
    given_up: set[int] = set()
    part, caches = memory, decoder.new_caches()
    for _ in range(_MAX_PASSES):
        judged, own = _ask(decoder, part, [lines[i] for i in active], bias, caches)
        if not scored:
            scored = [Hypothesis(list(draft), values) for draft, values in zip(drafts, own, strict=True)]
        going = [row for row, i in enumerate(active) if not lines[i].advance(judged[row], limits[i])]
        if margins is not None:
            hopeless = {i for i in active if lines[i].scores.sum() < scored[i].score + margins[i]}
            given_up |= hopeless
            going = [row for row in going if active[row] not in hopeless]
        active = [active[row] for row in going]
        if not active:
            break
        rows = torch.tensor(_filled(going), device=memory.mask.device)
        part, caches = part.select(rows), [cache.select(rows) for cache in caches]
    texts = [Hypothesis(line.done, line.scores, line.leads) for line in lines]
    if margins is None and active:
        part = part.select(torch.arange(len(active), device=memory.mask.device))
        for i, text in zip(active, greedy(decoder, part, [limits[i] for i in active], bias), strict=True):
            texts[i] = text
    elif margins is not None:
        given_up.update(active)
    return [scored[i] if i in given_up else text for i, text in enumerate(texts)], scored


def greedy(decoder: Decoder, memory: Memory, limits: Sequence[int], bias: Tensor) -> list[Hypothesis]:
    """Step-by-step autoregressive decoding with a key-value cache: the reference for `verify`.

    Args:
        decoder: In eval mode.
        memory: Of B lines.
        limits: Most tokens of each line, EOS included.
        bias: From `constraint`.
    """
    device = memory.mask.device
    ids: list[list[int]] = [[] for _ in limits]
    scores: list[list[float]] = [[] for _ in limits]
    active = list(range(len(limits)))
    caches = decoder.new_caches()
    tokens = torch.full((len(limits), 1), BOS, device=device)
    for step in range(max(limits, default=0)):
        logits = decoder(tokens, memory, caches=caches, position=step)[:, -1] + bias.to(device)
        values, best = logits.float().log_softmax(dim=-1).max(dim=-1)
        for i, token, value in zip(active, best.tolist(), values.tolist(), strict=True):
            ids[i].append(token)
            scores[i].append(value)
        going = [row for row, i in enumerate(active) if ids[i][-1] != EOS and step + 1 < limits[i]]
        if not going:
            break
        if len(going) < len(active):
            rows = torch.tensor(going, device=device)
            memory, caches, best = memory.select(rows), [cache.select(rows) for cache in caches], best[rows]
            active = [active[row] for row in going]
        tokens = best[:, None]
    return [
        Hypothesis([t for t in line if t != EOS], np.array(values, np.float32))
        for line, values in zip(ids, scores, strict=True)
    ]


def choose(
    texts: Sequence[Hypothesis],
    drafts: Sequence[Hypothesis],
    paths: Sequence[ctc.Path],
    log_probs: Sequence[Tensor],
) -> list[Hypothesis]:
    """Where decoder and CTC texts differ, the one with the better joint log-probability, both heads weighing the same.

    Args:
        texts: What the decoder wrote.
        drafts: CTC texts as the decoder scores them.
        paths: CTC texts as the CTC head scores them.
        log_probs: CTC log-probabilities (T, V) of each line.
    """
    chosen = list(texts)
    differing = [i for i, (text, draft) in enumerate(zip(texts, drafts, strict=True)) if text.ids != draft.ids]
    if differing:
        frames = torch.tensor([len(log_probs[i]) for i in differing])
        padded = pad_sequence([log_probs[i] for i in differing], batch_first=True)
        scores = ctc.score(padded, frames, [texts[i].ids for i in differing])
        for i, text_score in zip(differing, scores, strict=True):
            if drafts[i].score + paths[i].score > texts[i].score + text_score:
                chosen[i] = drafts[i]
    return chosen
