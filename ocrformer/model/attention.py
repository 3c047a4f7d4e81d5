"""Multi-head attention with an explicit cache, and the position-wise feed-forward network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SCORES = 2**21  # scores that are computed at a time: 4 MB in bfloat16


@dataclass
class KVCache:
    """Keys and values of one attention layer, (B, heads, T, head size) each; None until the first step.

    A cache is an argument of `forward` and never state of a module, so that one model serves many threads.
    """

    keys: Tensor | None = None
    values: Tensor | None = None

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add the newest positions and return all of them."""
        if self.keys is not None and self.values is not None:
            keys = torch.cat((self.keys, keys), dim=2)
            values = torch.cat((self.values, values), dim=2)
        self.keys, self.values = keys, values
        return keys, values

    def select(self, rows: Tensor) -> KVCache:
        """The cache of some batch rows, in the order given (repeats allowed, as beam search needs)."""
        if self.keys is None or self.values is None:
            return KVCache()
        return KVCache(self.keys.index_select(0, rows), self.values.index_select(0, rows))

    def cut(self, length: int) -> None:
        """Forget all positions from this one on."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[:, :, :length], self.values[:, :, :length]

    def fill(self, keys: Tensor, values: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
        """Put the packed positions in their places beside those that were there before, and return all."""
        if self.keys is not None and self.values is not None:
            new = packing.padded(keys.new_ones(len(packing.index), 1))[:, None] > 0  # (B, 1, T, 1)
            room = 0, 0, 0, keys.shape[2] - self.keys.shape[2]
            keys = torch.where(new, keys, F.pad(self.keys, room))
            values = torch.where(new, values, F.pad(self.values, room))
        self.keys, self.values = keys, values
        return keys, values


@dataclass(frozen=True)
class Packing:
    """Tokens of lines of unequal length without the padding between them, so that only attention pays for it.

    Attributes:
        index: Place of each token in the padded batch, B * T counted through, (S,).
        counts: How many tokens each line has.
        shape: (B, T).
    """

    index: Tensor
    counts: list[int]
    shape: tuple[int, int]

    @classmethod
    def of(cls, real: Tensor, multiple: int) -> Packing:
        """The tokens of a batch that are real, line by line.

        Args:
            real: Boolean (B, T).
            multiple: S is one of this, the first token being repeated at the end: in bfloat16 every S costs a
                CPU new kernels.
        """
        index = real.flatten().nonzero()[:, 0]
        index = torch.cat((index, index[:1].expand(-len(index) % multiple)))
        return cls(index, real.sum(dim=1).tolist(), (real.shape[0], real.shape[1]))

    def to(self, device: torch.device) -> Packing:
        """The same on another device."""
        return Packing(self.index.to(device), self.counts, self.shape)

    def packed(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (S, d)."""
        return x.flatten(0, 1)[self.index]

    def padded(self, x: Tensor) -> Tensor:
        """(S, d) -> (B, T, d), zero where there is no token."""
        batch, length = self.shape
        return x.new_zeros(batch * length, x.shape[-1]).index_copy_(0, self.index, x).view(batch, length, -1)


class MultiHeadAttention(nn.Module):
    """softmax(Q K^T / sqrt(d_k)) V over several heads (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, d_model: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_model, 2 * d_model)
        self.output = nn.Linear(d_model, d_model)

    def split(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (B, heads, T, d / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def project(self, memory: Tensor, packing: Packing | None = None) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, N, head size) of what is attended to, (B, N, d), or (S, d) if packed."""
        both = self.key_value(memory)
        keys, values = (both if packing is None else packing.padded(both)).chunk(2, dim=-1)
        return self.split(keys), self.split(values)

    def forward(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        packing: Packing | None = None,
    ) -> Tensor:
        """Attend from x (B, T, d) to keys and values (B, heads, N, head size).

        Args:
            x: Where attention comes from.
            keys: From `project`, or from a cache.
            values: Likewise.
            mask: Boolean, broadcastable to (B, heads, T, N); True may be attended to.
            causal: x are the last T of the N positions, and each sees itself and those before it.
            packing: Of x, if it is packed: (S, d).

        Returns:
            The same shape as x.
        """
        query = self.query(x)
        query = self.split(query if packing is None else packing.padded(query))
        attended = attend(query, keys, values, mask, causal=causal).transpose(1, 2).flatten(2)  # (B, T, d)
        out: Tensor = self.output(attended if packing is None else packing.packed(attended))
        return out

    def within(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Self-attention of the lines of several batches whose tokens follow each other.

        Args:
            x: (sum of all B * N, d), or more, which is room that nothing attends to.
            masks: Boolean (B, N) of each batch, True on tokens that may be attended to.

        Returns:
            The same shape as x.
        """
        sizes = [len(mask) * mask.shape[1] for mask in masks]
        room = len(x) - sum(sizes)
        queries, pairs = self.query(x).split([*sizes, room]), self.key_value(x).split([*sizes, room])
        attended = []
        for query, pair, mask in zip(queries, pairs, masks, strict=False):
            keys, values = pair.view(*mask.shape, -1).chunk(2, dim=-1)
            query, keys, values = (self.split(part) for part in (query.view(*mask.shape, -1), keys, values))
            of_batch = attend(query, keys, values, mask[:, None, None], causal=False)  # (B, heads, N, head size)
            attended.append(of_batch.transpose(1, 2).flatten(2).flatten(0, 1))
        out: Tensor = self.output(torch.cat((*attended, x.new_zeros(room, x.shape[1]))))
        return out

    def explained(
        self, x: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor | None = None, causal: bool = False
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, and the attention that was paid: (B, heads, T, N), whose rows sum to one."""
        scores = self.split(self.query(x)) @ keys.transpose(-1, -2) * keys.shape[-1] ** -0.5  # (B, heads, T, N)
        if causal:
            scores = scores.masked_fill(~_causal_mask(x.shape[1], keys.shape[2], x.device), -torch.inf)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        weights = torch.softmax(scores.float(), dim=-1)
        attended = weights.to(values.dtype) @ values
        out: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return out, weights


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(scale Q K^T) V, scale being 1 / sqrt(d_k); mask and causal as in `MultiHeadAttention.forward`."""
    by_matrices = query.device.type == "cpu" and query.dtype == torch.bfloat16
    if causal and (by_matrices or mask is not None or query.shape[2] != keys.shape[2]):
        before = _causal_mask(query.shape[2], keys.shape[2], query.device)
        mask, causal = before if mask is None else mask & before, False
    if by_matrices:
        return _attend_by_matrices(query, keys, values, mask, scale or query.shape[-1] ** -0.5)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=causal, scale=scale)


def _attend_by_matrices(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """The same by two matrix products: in bfloat16 a CPU does that twice as fast as torch's fused kernel.

    A few heads at a time, whose scores stay in the cache.
    """
    batch, heads, length, size = query.shape
    bias = query.new_zeros(1, 1, 1)
    if mask is not None:
        bias = query.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)
        shared = len(mask) == 1
        bias = bias[0] if shared else bias.expand(batch, heads, *mask.shape[2:]).flatten(0, 1)  # (1 or B * heads, ...)
    query, keys, values = (x.reshape(batch * heads, -1, size) for x in (query, keys, values))
    each = length * keys.shape[1]
    unit = heads if heads * each <= _SCORES else 1  # lines as a whole, if their scores stay in the cache
    attended = []
    for part in _portions(batch * heads // unit, unit, max(1, _SCORES // (unit * each))):
        added = bias if len(bias) == 1 else bias[part]
        scores = torch.baddbmm(added, query[part], keys[part].transpose(1, 2), alpha=scale)  # (step, T, N)
        attended.append(torch.bmm(scores.softmax(dim=-1), values[part]))
    return torch.cat(attended).view(batch, heads, length, size)


def _portions(count: int, unit: int, most: int) -> Iterator[slice]:
    """Of `count` units, powers of four of them at a time: each new shape costs a CPU a new kernel."""
    start = 0
    while start < count:
        size = 1 << (min(most, count - start).bit_length() - 1) // 2 * 2
        yield slice(start * unit, (start + size) * unit)
        start += size


def _causal_mask(queries: int, keys: int, device: torch.device) -> Tensor:
    """Boolean (1, 1, T, N): what the last T of N positions may see."""
    return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


class FeedForward(nn.Sequential):
    """Position-wise feed-forward network with GELU, (B, T, d) -> (B, T, d)."""

    def __init__(self, d_model: int, inner: int) -> None:
        super().__init__(nn.Linear(d_model, inner), nn.GELU(), nn.Linear(inner, d_model))
