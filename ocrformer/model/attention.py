"""Multi-head attention with an explicit cache, and the position-wise feed-forward network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SCORES = 2**21  # scores that are computed at a time: 4 MB in bfloat16
_TOKENS = 64  # decoders' passes compute multiples of so many


@dataclass
class KVCache:
    """Keys and values of one attention layer side by side, (B, T, 2 d); None until the first step.

    A cache is an argument of `forward` and never state of a module, so that one model serves many threads.
    """

    pairs: Tensor | None = None

    def append(self, pairs: Tensor) -> Tensor:
        """Add the newest positions and return all of them."""
        self.pairs = pairs if self.pairs is None else torch.cat((self.pairs, pairs), dim=1)
        return self.pairs

    def select(self, rows: Tensor) -> KVCache:
        """The cache of some batch rows, in the order given (repeats allowed, as beam search needs)."""
        return KVCache(None if self.pairs is None else self.pairs.index_select(0, rows))

    def cut(self, length: int) -> None:
        """Forget all positions from this one on."""
        if self.pairs is not None:
            self.pairs = self.pairs[:, :length]

    def fill(self, pairs: Tensor, packing: Packing) -> Tensor:
        """Put the packed positions in their places beside those that were there before, and return all."""
        batch, length = packing.shape
        before = pairs.new_zeros(batch, 0, pairs.shape[1]) if self.pairs is None else self.pairs
        self.pairs = F.pad(before, (0, 0, 0, length - before.shape[1])).contiguous()
        self.pairs.view(batch * length, -1).index_copy_(0, packing.index, pairs)
        return self.pairs


@dataclass(frozen=True)
class Packing:
    """Tokens of lines of unequal length without the padding between them, so that only attention pays for it.

    Attributes:
        index: Place of each token in the padded batch, B * T counted through, (S,).
        shape: (B, T).
        queries: Place of each token if the lines begin at the first place where any has a token, (S,).
        first: That place.
    """

    index: Tensor
    shape: tuple[int, int]
    queries: Tensor
    first: int

    @classmethod
    def of(cls, spans: Sequence[tuple[int, int]], shape: tuple[int, int]) -> Packing:
        """Tokens start to end of each of B lines, line by line; then the first one again, as every S costs new kernels.

        Args:
            spans: Start and end in at most B lines, each within T; lines beyond them have no token.
            shape: (B, T).
        """
        rows = np.repeat(np.arange(len(spans)), [end - start for start, end in spans])
        places = np.concatenate([np.arange(start, end) for start, end in spans])
        more = min(_TOKENS, 1 << (len(rows) - 1).bit_length())  # S is a power of two, or many times _TOKENS
        rows, places = (np.append(part, part[:1].repeat(-len(part) % more)) for part in (rows, places))
        first = min(start for start, _ in spans)
        index, queries = (torch.from_numpy(rows * (shape[1] - cut) + places - cut) for cut in (0, first))
        return cls(index, shape, queries, first)

    def to(self, device: torch.device) -> Packing:
        """The same on another device."""
        return replace(self, index=self.index.to(device), queries=self.queries.to(device))

    def packed(self, x: Tensor) -> Tensor:
        """(B, T, d) -> (S, d)."""
        return x.flatten(0, 1)[self.index]

    def asking(self, x: Tensor) -> Tensor:
        """(S, d) -> (B, T - first, d), zero where there is no token."""
        batch, length = self.shape[0], self.shape[1] - self.first
        return x.new_zeros(batch * length, x.shape[1]).index_copy_(0, self.queries, x).view(batch, length, -1)

    def answered(self, x: Tensor) -> Tensor:
        """(B, T - first, d) -> (S, d)."""
        return x.flatten(0, 1)[self.queries]


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

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, N, head size) of what is attended to, (B, N, d)."""
        return self.parted(self.key_value(memory))

    def parted(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, heads, N, head size) of both side by side, (B, N, 2 d)."""
        keys, values = pairs.chunk(2, dim=-1)
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
            keys: From `project` or `parted`.
            values: Likewise.
            mask: Boolean, broadcastable to (B, heads, T, N); True may be attended to.
            causal: x are the last T of the N positions, and each sees itself and those before it.
            packing: Of x, if it is packed: (S, d).

        Returns:
            The same shape as x.
        """
        query = self.query(x)
        query = self.split(query if packing is None else packing.asking(query))
        attended = _attend(query, keys, values, mask, causal=causal).transpose(1, 2).flatten(2)  # (B, T, d)
        out: Tensor = self.output(attended if packing is None else packing.answered(attended))
        return out

    def within(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Self-attention of the lines of several batches whose tokens follow each other.

        Args:
            x: (sum of all B * N, d).
            masks: Boolean (B, N) of each batch, True on tokens that may be attended to.

        Returns:
            The same shape as x.
        """
        sizes = [len(mask) * mask.shape[1] for mask in masks]
        attended = []
        for query, pair, mask in zip(self.query(x).split(sizes), self.key_value(x).split(sizes), masks, strict=True):
            keys, values = pair.view(*mask.shape, -1).chunk(2, dim=-1)
            query, keys, values = (self.split(part) for part in (query.view(*mask.shape, -1), keys, values))
            of_batch = _attend(query, keys, values, mask[:, None, None], causal=False)  # (B, heads, N, head size)
            attended.append(of_batch.transpose(1, 2).flatten(2).flatten(0, 1))
        out: Tensor = self.output(torch.cat(attended))
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


def _attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V; mask and causal as in `MultiHeadAttention.forward`."""
    by_matrices = query.device.type == "cpu" and query.dtype == torch.bfloat16
    if causal and (by_matrices or query.shape[2] != keys.shape[2]):
        mask, causal = _causal_mask(query.shape[2], keys.shape[2], query.device), False
    if by_matrices:
        return _attend_by_matrices(query, keys, values, mask)
    return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, is_causal=causal)


def _attend_by_matrices(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """The same by two matrix products: in bfloat16 a CPU does that twice as fast as torch's fused kernel, and what a
    line gets does not depend on the padding that its company needs.

    A few heads at a time, whose scores stay in the cache.
    """
    batch, heads, length, size = query.shape
    bias = query.new_zeros(1, 1, 1)
    if mask is not None:
        bias = query.new_zeros(mask.shape).masked_fill(~mask, -torch.inf)
        shared = len(mask) == 1
        bias = bias[0] if shared else bias.expand(batch, heads, *mask.shape[2:]).flatten(0, 1)  # (1 or B * heads, ...)
    query, keys, values = (x.reshape(batch * heads, -1, size) for x in (query, keys, values))
    step = max(1, _SCORES // (length * keys.shape[1]))
    attended = []
    for part in (slice(start, start + step) for start in range(0, batch * heads, step)):
        added = bias if len(bias) == 1 else bias[part]
        scores = torch.baddbmm(added, query[part], keys[part].transpose(1, 2), alpha=size**-0.5)  # (step, T, N)
        attended.append(torch.bmm(scores.softmax(dim=-1), values[part]))
    return torch.cat(attended).view(batch, heads, length, size)


def _causal_mask(queries: int, keys: int, device: torch.device) -> Tensor:
    """Boolean (1, 1, T, N): what the last T of N positions may see."""
    return torch.ones(1, 1, queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


class FeedForward(nn.Sequential):
    """Position-wise feed-forward network with GELU, (B, T, d) -> (B, T, d)."""

    def __init__(self, d_model: int, inner: int) -> None:
        super().__init__(nn.Linear(d_model, inner), nn.GELU(), nn.Linear(inner, d_model))
