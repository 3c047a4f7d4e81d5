"""Losses: CTC, where the decoder should look as taught by CTC's own alignment, and drift from another network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ocrformer.charset import BLANK
from ocrformer.model.network import STRIDE
from ocrformer.training.batches import LabelledBatch

_NEAR = 2  # columns around the aligned one that count as looking at the character


def ctc_loss(logits: Tensor, batch: LabelledBatch) -> Tensor:
    """CTC loss per character (Graves et al. 2006), in float32.

    Args:
        logits: (B, columns, V).
        batch: With targets and widths.
    """
    log_probs = logits.float().log_softmax(dim=-1).transpose(0, 1)
    frames = (batch.widths + STRIDE - 1) // STRIDE
    total = F.ctc_loss(log_probs, batch.targets, frames, batch.lengths, reduction="sum", zero_infinity=True)
    return total / batch.lengths.sum().clamp(min=1)


@torch.no_grad()
def aligned_columns(logits: Tensor, batch: LabelledBatch) -> Tensor:
    """Column of each character on the best CTC alignment of its line (Viterbi), (B, T); undefined beyond the text.

    Args:
        logits: CTC logits (B, columns, V).
        batch: With targets and widths.
    """
    log_probs = logits.float().log_softmax(dim=-1)
    count, columns, _ = log_probs.shape
    longest = int(batch.lengths.max())
    states = torch.full((count, 2 * longest + 1), BLANK, device=logits.device)
    states[:, 1::2] = batch.targets[:, :longest]
    emit = log_probs.gather(2, states[:, None].expand(-1, columns, -1))  # (B, columns, S)
    skip = torch.zeros_like(states, dtype=torch.bool)
    skip[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    best = torch.full(states.shape, -torch.inf, device=logits.device)
    best[:, :2] = emit[:, 0, :2]
    came = torch.zeros(emit.shape, dtype=torch.uint8, device=logits.device)
    last = (batch.widths + STRIDE - 1) // STRIDE - 1
    ends = best
    for column in range(1, columns):
        stepped = F.pad(best, (1, 0), value=-torch.inf)[:, :-1]
        skipped = F.pad(best, (2, 0), value=-torch.inf)[:, :-2].masked_fill(~skip, -torch.inf)
        best, chosen = torch.stack((best, stepped, skipped)).max(dim=0)
        best = best + emit[:, column]
        came[:, column] = chosen
        ends = torch.where(last[:, None] == column, best, ends)
    final = 2 * batch.lengths[:, None] + torch.tensor([-1, 0], device=logits.device)  # last character, blank after it
    state = final.clamp(min=0).gather(1, ends.gather(1, final.clamp(min=0)).argmax(dim=1, keepdim=True))[:, 0]
    return _walk_back(came, state, last, longest)


def _walk_back(came: Tensor, state: Tensor, last: Tensor, longest: int) -> Tensor:
    """First column of each character, from the moves (B, columns, S) of the best path and its last state (B,)."""
    count, columns, _ = came.shape
    found = torch.zeros(count, longest + 1, dtype=torch.long, device=came.device)
    rows = torch.arange(count, device=came.device)
    for column in range(columns - 1, -1, -1):
        inside = column <= last
        character = torch.where(inside & (state % 2 == 1), state // 2, longest)
        found[rows, character] = column
        state = torch.where(inside, state - came[rows, column, state].long(), state).clamp(min=0)
    return found[:, :longest]


def looking_loss(attention: list[Tensor], aligned: Tensor, batch: LabelledBatch, rows: int) -> Tensor:
    """How much attention misses its character: one head of each layer is taught (guided attention, arXiv 1710.08969).

    The last layer's first head looks at the character that is written next, those before it at the one just written,
    from which the way to the next one is short.

    Args:
        attention: Of each decoder layer, (B, heads, T, rows * columns), T one more than the longest text.
        aligned: From `aligned_columns`, (B, T - 1).
        batch: With lengths.
        rows: Rows of the feature map.
    """
    steps = torch.arange(aligned.shape[1], device=aligned.device)
    real = steps[None] < batch.lengths[:, None]  # (B, T - 1)
    loss = attention[0].new_zeros(())
    for number, weights in enumerate(attention, 1):
        taught = weights[:, 0].view(*weights[:, 0].shape[:2], rows, -1).sum(dim=2)  # (B, T, columns)
        taught = taught[:, :-1] if number == len(attention) else taught[:, 1:]
        columns = torch.arange(taught.shape[-1], device=aligned.device)
        near = (columns - aligned[..., None]).abs() <= _NEAR
        mass = (taught * near).sum(dim=-1).clamp(min=1e-4)
        loss = loss - (mass.log() * real).sum() / real.sum().clamp(min=1)
    return loss / len(attention)


def drift(logits: Tensor, before: Tensor, real: Tensor, characters: Tensor) -> Tensor:
    """How far predictions have moved, in nats per character: KL(before || now), summed over places.

    As a loss it holds a network to what another one makes of the same lines (Hinton et al. 2015; against forgetting, Li
    and Hoiem 2016).

    Args:
        logits: (B, T, V).
        before: Likewise, of the other network.
        real: Boolean (B, T), the places that count.
        characters: Number of characters of all lines.
    """
    now, target = logits.float().log_softmax(dim=-1), before.float().log_softmax(dim=-1)
    moved = F.kl_div(now, target, reduction="none", log_target=True).sum(dim=-1)
    return (moved * real).sum() / characters.clamp(min=1)
