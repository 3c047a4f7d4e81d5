"""Encoder-decoder attention over the memory as it is, without keys and values of it.

Scores are (W_q x) . (W_k m) = (W_k^T W_q x) . m, and what is looked up is W_v (sum of weighted m): both projections of
the memory can be made on the side of the text, which has several times fewer tokens. The bias of the keys adds the
same to all scores of a character, which the softmax takes out again; that of the values passes through it as it is.
(Absorbed projections: DeepSeek-V2, arXiv 2405.04434, section 2.1.2.)
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn

from ocrformer.model.attention import MultiHeadAttention, Packing, attend


def any_shape(x: Tensor) -> bool:
    """Whether operations take any shape as it comes: for bfloat16 a CPU makes new kernels for each new one."""
    return x.device.type == "cpu" and x.dtype == torch.float32


class FoldedAttention(nn.Module):
    """Computes what `MultiHeadAttention` does, up to rounding, from one head of keys and values: the memory itself.

    Args:
        attention: Whose weights it shares.
    """

    keys: Tensor  # (heads, head size, d)
    values: Tensor  # (heads, d, head size)
    bias: Tensor  # (d,)

    def __init__(self, attention: MultiHeadAttention) -> None:
        super().__init__()
        d_model, self.heads = attention.output.in_features, attention.heads
        keys, values = attention.key_value.weight.detach().view(2, self.heads, -1, d_model)
        self.scale = keys.shape[1] ** -0.5
        self.query, self.output = attention.query, attention.output
        self.register_buffer("keys", keys)
        self.register_buffer("values", values.mT)
        self.register_buffer("bias", attention.key_value.bias.detach()[d_model:])

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """The memory (B, N, d) as keys and values of a single head, (B, 1, N, d)."""
        return memory[:, None], memory[:, None]

    def forward(
        self, x: Tensor, keys: Tensor, values: Tensor, *, mask: Tensor, packing: Packing | None = None
    ) -> Tensor:
        """Attend from x (B, T, d), or (S, d) if it is packed, to the memory; as `MultiHeadAttention.forward`.

        If it is packed and of `any_shape`, the mask (B, 1, 1, N) must be True on the first tokens of each line alone.
        """
        query = self._by_head(self.query(x), self.keys)
        if packing is not None and any_shape(query):
            attended = self._line_by_line(query, keys, mask, packing.counts)  # the keys are the values
        else:
            query = query if packing is None else packing.padded(query)  # (B, T, heads * d)
            batch, length = query.shape[:2]
            query = query.view(batch, 1, length * self.heads, -1)
            attended = attend(query, keys, values, mask, scale=self.scale).view(batch, length, -1)
            attended = attended if packing is None else packing.packed(attended)
        out: Tensor = self.output(self._by_head(attended, self.values) + self.bias)
        return out

    def _by_head(self, x: Tensor, weight: Tensor) -> Tensor:
        """(..., heads * a) times (heads, a, b) for each head, (..., heads * b)."""
        return torch.einsum("...ha,hab->...hb", x.view(*x.shape[:-1], self.heads, -1), weight).flatten(-2)

    def _line_by_line(self, query: Tensor, memory: Tensor, mask: Tensor, counts: list[int]) -> Tensor:
        """What packed queries (S, heads * d) look up, line by line without padding; the memory is (B, 1, N, d)."""
        attended = torch.zeros_like(query)
        used = mask.sum(dim=-1).flatten().tolist()
        for tokens, of_line, count, end in zip(used, memory, counts, accumulate(counts), strict=True):
            if count:
                asked = query[end - count : end].view(1, 1, count * self.heads, -1)
                seen = of_line[None, :, :tokens]
                attended[end - count : end] = attend(asked, seen, seen, None, scale=self.scale).view(count, -1)
        attended[sum(counts) :] = attended[0]  # repeats of the first token
        return attended
