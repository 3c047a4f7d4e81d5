"""Batches of prepared lines to readings: one pass of the network, CTC, and the decoder where it has a say."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ocrformer import ctc, decoding
from ocrformer.beam import beam
from ocrformer.charset import Charset
from ocrformer.config import DecodeOptions
from ocrformer.decoding import Hypothesis
from ocrformer.model import strip
from ocrformer.model.decoder import Memory
from ocrformer.model.frozen import frozen, judge
from ocrformer.model.network import Bundle, Encoded, stacked
from ocrformer.model.strip import Batch
from ocrformer.reading import Reading
from ocrformer.repeats import alike, recounted

Encoder = Callable[[Sequence[Batch]], list[Encoded]]
"""Batches of prepared lines to what is known of them."""

_SURE = math.log(0.8)
"""CTC log-probability of a text from which `joint` does not ask the decoder: it would have to hold another text for
more than four times as probable, which on real lines changes two texts in a thousand."""

_SLACK = 1e-3  # for rounding errors of log-probabilities

_CERTAIN = math.log(0.73)
"""Log-probability from which on a character chosen in bfloat16 is the one that float32 chooses: it leads every other by
a nat, and over 64,000 characters of real lines the two precisions never differed by so much."""


class Recogniser:
    """A network made ready to read, without state, so that many threads may share it.

    Args:
        bundle: A loaded network with its charset.
        encoder: Does the work of `strip.encode`; torch itself without one.
    """

    def __init__(self, bundle: Bundle, encoder: Encoder | None = None) -> None:
        self.charset = bundle.charset
        self._alike = alike(bundle.charset)
        self.device = next(bundle.network.parameters()).device
        self.precision = torch.bfloat16 if encoder is None and fast_bfloat16(self.device) else torch.float32
        self.frozen = frozen(bundle.network, self.precision)
        self.encode: Encoder = encoder or partial(strip.encode, self.frozen)
        self._judge = judge(self.frozen.decoder, self.precision)

    @torch.inference_mode()
    def read(self, batches: Sequence[Batch], options: DecodeOptions) -> list[Reading]:
        """Read some batches; the decoder is asked about the lines of all of them at once.

        Args:
            batches: Prepared lines, uint8 (B, 1, height, W), padded, and their true widths (B,) in pixels.
            options: How to decode.

        Returns:
            A reading of each line, batch by batch.
        """
        allowed = None if options.allowed is None else _allowed_ids(self.charset, options.allowed)
        bias = decoding.constraint(len(self.charset), allowed, of_ctc=True).to(self.device)
        readings: list[Reading] = []
        asked: list[int] = []
        drafts: list[ctc.Path] = []
        doubtful: list[Encoded] = []
        there = [(images.to(self.device), widths.to(self.device)) for images, widths in batches]
        for encoded in self.encode(there):
            encoded = replace(encoded, ctc=(encoded.ctc.float() + bias).log_softmax(dim=-1))
            paths = ctc.best_paths(encoded.ctc, encoded.frames)
            rows = [row for row, path in enumerate(paths) if _asks_decoder(path, options)]
            if rows:
                asked += [len(readings) + row for row in rows]
                drafts += [paths[row] for row in rows]
                doubtful.append(encoded.select(torch.tensor(rows, device=self.device)))
            readings += [Reading(path.ids, path.log_probs, path.frames, path.ids) for path in paths]
        if asked:
            answers = self._ask(stacked(doubtful), drafts, allowed, options)
            for i, answer in zip(asked, answers, strict=True):
                readings[i] = answer
        return readings

    def _ask(
        self, encoded: Encoded, paths: Sequence[ctc.Path], allowed: Sequence[int] | None, options: DecodeOptions
    ) -> list[Reading]:
        """What the decoder makes of lines that CTC has read; `encoded` has log-probabilities in place of logits."""
        memory = self.frozen.decoder.remember(encoded.memory, encoded.mask)
        bias = decoding.constraint(len(self.charset), allowed, of_ctc=False).to(self.device)
        texts = self._decode(memory, paths, encoded.ctc, encoded.frames, bias, options)
        readings = []
        for text, path, scores, frames in zip(texts, paths, encoded.ctc, encoded.frames.tolist(), strict=True):
            where = path.frames if text.ids == path.ids else ctc.align(scores[:frames].cpu().numpy(), text.ids)
            readings.append(Reading(text.ids, text.log_probs, where, path.ids))
        return readings

    def _decode(
        self,
        memory: Memory,
        paths: Sequence[ctc.Path],
        log_probs: Tensor,
        frames: Tensor,
        bias: Tensor,
        options: DecodeOptions,
    ) -> list[Hypothesis]:
        decoder = self.frozen.decoder
        drafts = [path.ids for path in paths]
        limits = [int(n) + 1 for n in frames]  # no line has more characters than frames
        if options.mode == "greedy":
            return decoding.greedy(decoder, memory.float(), limits, bias)
        if options.mode == "beam":
            exact, rows = memory.float(), torch.arange(len(paths), device=self.device)
            return [beam(decoder, exact.select(row[None]), limits[row], bias, width=options.beam_width) for row in rows]
        if options.mode == "draft":
            return self._verified(memory, drafts, limits, bias)
        margins = [path.score - math.log1p(-math.exp(min(path.score, _SURE))) - _SLACK for path in paths]
        texts, scored = decoding.verify(self._judge, memory, drafts, limits, bias, margins=margins)
        texts = [recounted(text, draft, self._alike) for text, draft in zip(texts, drafts, strict=True)]
        return decoding.choose(texts, scored, paths, log_probs, frames)

    def _verified(
        self, memory: Memory, drafts: Sequence[list[int]], limits: Sequence[int], bias: Tensor
    ) -> list[Hypothesis]:
        """What `greedy` writes: verified in the judge's precision, and exactly where that leaves room for another."""
        decoder = self.frozen.decoder
        if self.precision == torch.float32:
            return decoding.verify(decoder, memory, drafts, limits, bias)[0]
        texts, _ = decoding.verify(self._judge, memory, drafts, limits, bias, margins=[-math.inf] * len(drafts))
        doubtful = [i for i, text in enumerate(texts) if text.log_probs.min() < _CERTAIN]
        if doubtful:
            exact = memory.select(torch.tensor(doubtful, device=self.device)).float()
            again = [texts[i].ids for i in doubtful], [limits[i] for i in doubtful]
            for i, text in zip(doubtful, decoding.verify(decoder, exact, *again, bias)[0], strict=True):
                texts[i] = text
        return texts


def _asks_decoder(path: ctc.Path, options: DecodeOptions) -> bool:
    """Whether the decoder has a say: in `joint` only where CTC leaves room for another text."""
    return options.mode not in ("joint", "ctc") or (options.mode == "joint" and path.score < _SURE)


def _allowed_ids(charset: Charset, allowed: str) -> list[int]:
    """Ids of the permitted characters.

    Raises:
        CharsetError: If the model cannot write one of them.
    """
    space = [charset.encode("a b")[1]] if " " in allowed else []
    return sorted({*charset.encode(allowed), *space})


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return device.type == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
