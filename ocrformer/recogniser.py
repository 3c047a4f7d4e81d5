"""Batches of prepared lines to readings: one pass of the network, CTC, and the decoder where it has a say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ocrformer import ctc, decoding
from ocrformer.beam import beam
from ocrformer.config import DecodeOptions
from ocrformer.decoding import Hypothesis
from ocrformer.hardware import fast_bfloat16, fast_eight_bits, packs_weights
from ocrformer.model import strip
from ocrformer.model.folded import any_shape
from ocrformer.model.frozen import frozen, judge
from ocrformer.model.network import Bundle, Encoded
from ocrformer.model.packed import pack
from ocrformer.model.strip import Batch
from ocrformer.reading import Reading
from ocrformer.repeats import alike, recounted

Encode = Callable[[Sequence[Batch]], list[Encoded]]
"""Batches of prepared lines to what is known of them, line by line in the same order, in as many parts as it likes."""

_SURE = math.log(0.8)
"""CTC log-probability of a text from which `joint` does not ask the decoder: it would have to hold another text for
more than four times as probable, which on real lines changes two texts in a thousand."""

_TOKENS = 64  # several memories are padded to a multiple of this: new shapes in bfloat16 cost a CPU new kernels
_SLACK = 1e-3  # for rounding errors of log-probabilities

_CERTAIN = 1.0
"""Nats by which a character chosen in bfloat16 must lead every other to be the one that float32 chooses: over 64,000
characters of real lines the two precisions never differed by so much."""


@dataclass(frozen=True)
class _Question:
    """A line that CTC has read and the decoder is asked about.

    Attributes:
        number: Of the line.
        path: What CTC reads.
        log_probs: Of the CTC head, (frames, V).
        memory: (N, d), with the padding of the line's batch.
        mask: (N,).
    """

    number: int
    path: ctc.Path
    log_probs: Tensor
    memory: Tensor
    mask: Tensor


class Recogniser:
    """A network made ready to read, without state, so that many threads may share it.

    Args:
        bundle: A loaded network with its charset.
        encoder: Does the work of `strip.encode`; torch itself without one.
        plain: float32 throughout, whatever the processor does faster.
    """

    def __init__(self, bundle: Bundle, encoder: Encode | None = None, *, plain: bool = False) -> None:
        self.charset = bundle.charset
        self._alike = alike(bundle.charset)
        self.device = next(bundle.network.parameters()).device
        by_torch = encoder is None and not plain
        self.precision = torch.bfloat16 if by_torch and fast_bfloat16(self.device) else torch.float32
        self.eight_bits = by_torch and fast_eight_bits(self.device)
        self.frozen = frozen(bundle.network, self.precision, eight_bits=self.eight_bits)
        self.encode: Encode = encoder or partial(strip.encode, self.frozen)
        self._judge = judge(self.frozen.decoder, self.precision)
        if packs_weights(self.device):
            pack(self.frozen)
            pack(self._judge)

    @property
    def arithmetic(self) -> str:
        """What the encoder computes in, for people."""
        floats = str(self.precision).removeprefix("torch.")
        return f"{floats} and eight-bit integers" if self.eight_bits else floats

    @torch.inference_mode()
    def read(self, batches: Sequence[Batch], options: DecodeOptions) -> list[Reading]:
        """Read some batches; the decoder is asked about the lines of all of them at once.

        Args:
            batches: Prepared lines, uint8 (B, 1, height, W), padded, and their true widths (B,) in pixels.
            options: How to decode.

        Returns:
            A reading of each line, batch by batch.
        """
        allowed = None if options.allowed is None else self.charset.allowed(options.allowed)
        bias = decoding.constraint(len(self.charset), allowed, of_ctc=True).to(self.device)
        encoded = self.encode([(images.to(self.device), widths.to(self.device)) for images, widths in batches])
        memories = [memory for part in encoded for memory in zip(part.memory, part.mask, strict=True)]
        frames = torch.cat([part.frames for part in encoded])
        logits = pad_sequence([line for part in encoded for line in part.ctc], batch_first=True)
        log_probs = (logits.float() + bias).log_softmax(dim=-1)
        paths = ctc.best_paths(log_probs, frames)
        readings = [Reading(path.ids, path.log_probs, path.frames, path.ids) for path in paths]
        questions = [
            _Question(number, path, log_probs[number, : frames[number]], *memories[number])
            for number, path in enumerate(paths)
            if _asks_decoder(path, options)
        ]
        for question, answer in zip(questions, self._answers(questions, allowed, options), strict=True):
            readings[question.number] = answer
        return readings

    def _answers(
        self, questions: Sequence[_Question], allowed: Sequence[int] | None, options: DecodeOptions
    ) -> list[Reading]:
        """What the decoder makes of lines that CTC has read."""
        if not questions:
            return []
        memory, mask = _side_by_side(questions)
        bias = decoding.constraint(len(self.charset), allowed, of_ctc=False).to(self.device)
        texts = self._decode(memory, mask, questions, bias, options)
        readings = []
        for text, question in zip(texts, questions, strict=True):
            path = question.path
            same = text.ids == path.ids
            where = path.frames if same else ctc.realign(question.log_probs, path, text.ids)
            readings.append(Reading(text.ids, text.log_probs, where, path.ids))
        return readings

    def _decode(
        self, memory: Tensor, mask: Tensor, questions: Sequence[_Question], bias: Tensor, options: DecodeOptions
    ) -> list[Hypothesis]:
        decoder = self.frozen.decoder
        paths = [question.path for question in questions]
        drafts = [path.ids for path in paths]
        limits = [len(question.log_probs) + 1 for question in questions]  # no line has more characters than frames
        if options.mode in ("greedy", "beam"):
            exact, rows = decoder.remember(memory, mask).float(), torch.arange(len(paths), device=self.device)
            if options.mode == "greedy":
                return decoding.greedy(decoder, exact, limits, bias)
            return [beam(decoder, exact.select(row[None]), limits[row], bias, width=options.beam_width) for row in rows]
        if options.mode == "draft":
            return self._verified(memory, mask, drafts, limits, bias)
        margins = [path.score - math.log1p(-math.exp(path.score)) - _SLACK for path in paths]
        remembered = self._judge.remember(memory, mask)
        texts, scored = decoding.verify(self._judge, remembered, drafts, limits, bias, margins=margins)
        texts = [recounted(text, draft, self._alike) for text, draft in zip(texts, drafts, strict=True)]
        return decoding.choose(texts, scored, paths, [question.log_probs for question in questions])

    def _verified(
        self, memory: Tensor, mask: Tensor, drafts: Sequence[list[int]], limits: Sequence[int], bias: Tensor
    ) -> list[Hypothesis]:
        """What `greedy` writes: verified by the judge, and where bfloat16 leaves room for another text, exactly."""
        decoder = self.frozen.decoder
        if self.precision == torch.float32:
            return decoding.verify(self._judge, self._judge.remember(memory, mask), drafts, limits, bias)[0]
        never = [-math.inf] * len(drafts)  # given up for its score; what takes too many passes is decoded exactly
        remembered = self._judge.remember(memory, mask)
        texts, _ = decoding.verify(self._judge, remembered, drafts, limits, bias, margins=never)
        doubts = [_doubtful(text) for text in texts]
        doubtful = [i for i, count in enumerate(doubts) if count]
        if doubtful:
            rows = torch.tensor(doubtful, device=self.device)
            exact = decoder.remember(memory[rows], mask[rows]).float()
            again = [texts[i].ids for i in doubtful], [limits[i] for i in doubtful]
            tails = [texts[i].log_probs[doubts[i] :] for i in doubtful]
            for i, text in zip(doubtful, decoding.verify(decoder, exact, *again, bias, tails=tails)[0], strict=True):
                texts[i] = text
        return texts


def _side_by_side(questions: Sequence[_Question]) -> tuple[Tensor, Tensor]:
    """Memories (B, N, d) and masks (B, N) together.

    In bfloat16 padding stays where it is, as the place of a token decides how its line's sums are rounded; in float32
    they are rounded too finely to matter, and all that is no token of the line is left out.
    """
    memories, masks = [question.memory for question in questions], [question.mask for question in questions]
    if any_shape(memories[0]):
        memories = [memory[mask] for memory, mask in zip(memories, masks, strict=True)]
        masks = [mask[mask] for mask in masks]
    memory, mask = pad_sequence(memories, batch_first=True), pad_sequence(masks, batch_first=True)
    room = -mask.shape[1] % _TOKENS if len(questions) > 1 else 0
    return F.pad(memory, (0, 0, 0, room)), F.pad(mask, (0, room))


def _doubtful(text: Hypothesis) -> int:
    """How many tokens at the beginning of a text have to be looked at exactly, EOS included."""
    if text.leads is None or len(text.log_probs) == len(text.ids):  # given up, or cut at its limit
        return len(text.log_probs)
    places = np.flatnonzero(text.leads < _CERTAIN)
    return int(places[-1]) + 1 if places.size else 0


def _asks_decoder(path: ctc.Path, options: DecodeOptions) -> bool:
    """Whether the decoder has a say: in `joint` only where CTC leaves room for another text."""
    return options.mode not in ("joint", "ctc") or (options.mode == "joint" and path.score < _SURE)
