"""Beam search by the decoder, for those who want it; ids only, as in `decoding`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ocrformer.charset import BOS, EOS
from ocrformer.decoding import Hypothesis
from ocrformer.model.decoder import Decoder, Memory


def beam(decoder: Decoder, memory: Memory, limit: int, bias: Tensor, *, width: int = 4) -> Hypothesis:
    """Beam search over one line by the decoder's log-probability.

    Args:
        decoder: In eval mode.
        memory: Of one line.
        limit: Most tokens, EOS included.
        bias: From `constraint`.
        width: Hypotheses kept after each step.
    """
    device = memory.mask.device
    live = [Hypothesis([], np.zeros(0, np.float32))]
    finished: list[Hypothesis] = []
    caches = decoder.new_caches()
    tokens = torch.full((1, 1), BOS, device=device)
    for step in range(limit):
        logits = decoder(
            tokens, memory.select(torch.zeros(len(live), dtype=torch.long, device=device)), caches=caches, position=step
        )
        log_probs = (logits[:, -1] + bias.to(device)).float().log_softmax(dim=-1)
        totals = log_probs + torch.tensor([h.score for h in live], device=device)[:, None]
        chosen = totals.flatten().topk(min(width, totals.numel())).indices.tolist()
        grown: list[Hypothesis] = []
        parents: list[int] = []
        for parent, token in (divmod(index, totals.shape[1]) for index in chosen):
            scores = np.append(live[parent].log_probs, np.float32(log_probs[parent, token].item()))
            if token == EOS:
                finished.append(Hypothesis(live[parent].ids, scores))
            else:
                grown.append(Hypothesis([*live[parent].ids, token], scores))
                parents.append(parent)
        best = max((h.score for h in finished), default=-np.inf)
        if not grown or grown[0].score <= best:
            break
        live, caches = grown, [cache.select(torch.tensor(parents, device=device)) for cache in caches]
        tokens = torch.tensor([[h.ids[-1]] for h in live], device=device)
    else:  # cut at the limit
        finished += live
    return max(finished, key=lambda h: h.score)
