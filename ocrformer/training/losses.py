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
    """Column of each character on the best CTC alignment of its line (Viterbi), (B, T - 1); undefined beyond the text.

    Args:
        logits: CTC logits (B, columns, V).
        batch: With targets (B, T) and widths.
    """
    log_probs = logits.float().log_softmax(dim=-1)
    count, columns, _ = log_probs.shape
    states = torch.full((count, 2 * batch.targets.shape[1] - 1), BLANK, device=logits.device)
    states[:, 1::2] = batch.targets[:, :-1]
    emit = log_probs.gather(2, states[:, None].expand(-1, columns, -1)).transpose(0, 1)  # (columns, B, S)
    barred = torch.full_like(emit[0], -torch.inf)  # a blank is skipped between two characters that differ
    barred[:, 3::2].masked_fill_(states[:, 3::2] != states[:, 1:-2:2], 0.0)
    best = emit.new_full((columns, count, states.shape[1] + 2), -torch.inf)  # two more states before the first
    best[0, :, 2:4] = emit[0, :, :2]
    for column in range(1, columns):
        before = best[column - 1]
        stayed_or_stepped = torch.maximum(before[:, 2:], before[:, 1:-1])
        torch.add(torch.maximum(stayed_or_stepped, before[:, :-2] + barred), emit[column], out=best[column, :, 2:])
    stayed, stepped, skipped = best[:-1, :, 2:], best[:-1, :, 1:-1], best[:-1, :, :-2] + barred
    moves = (stepped > stayed).to(torch.uint8).masked_fill_(skipped > torch.maximum(stayed, stepped), 2)
    last = (batch.widths + STRIDE - 1) // STRIDE - 1
    ends = best[last, torch.arange(count, device=last.device), 2:]
    final = 2 * batch.lengths[:, None] + torch.tensor([-1, 0], device=last.device)  # last character, blank after it
    state = final.clamp(min=0).gather(1, ends.gather(1, final.clamp(min=0)).argmax(dim=1, keepdim=True))
    return _first_columns(_walked_back(moves, state, last), last, batch.targets.shape[1] - 1)


def _walked_back(moves: Tensor, state: Tensor, last: Tensor) -> Tensor:
    """States of the best paths, (columns, B), from the last ones (B, 1) and the moves to each, (columns - 1, B, S)."""
    numbers = torch.arange(1, len(moves) + 1, device=last.device)
    moves = moves * (numbers[:, None] <= last)[..., None]  # behind its last column a line stays where it ends
    path = [state]
    for into in reversed(moves.unbind()):
        path.append(path[-1] - into.gather(1, path[-1]))
    return torch.cat(path[::-1], dim=1).T


def _first_columns(path: Tensor, last: Tensor, longest: int) -> Tensor:
    """The first column of each character, (B, longest), zero where there is none, of paths (columns, B)."""
    columns = torch.arange(len(path), device=path.device)[:, None].expand_as(path)
    character = torch.where((path % 2 == 1) & (columns <= last), path // 2, longest)
    found = path.new_full((path.shape[1], longest + 1), len(path))
    found.scatter_reduce_(1, character.T, columns.T, "amin")
    return found[:, :longest] % len(path)


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
