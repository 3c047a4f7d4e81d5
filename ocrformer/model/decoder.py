"""Autoregressive Transformer decoder (pre-LN) with tied embedding and softmax."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from ocrformer.config import ModelConfig
from ocrformer.model.attention import FeedForward, KVCache, MultiHeadAttention, Packing
from ocrformer.model.positions import positions_1d


@dataclass(frozen=True)
class Memory:
    """What the decoder looks at: keys and values of each decoder layer, and which tokens are not padding.

    Attributes:
        keys: One (B, heads, N, head size) per decoder layer; with `FoldedAttention` the memory itself, (B, 1, N, d).
        values: Likewise.
        mask: Boolean (B, N), True on tokens of the line.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor

    def select(self, rows: Tensor) -> Memory:
        """Some batch rows, in the order given."""
        parts = {part.data_ptr(): part for part in (*self.keys, *self.values)}  # they may all be the same
        chosen = {place: part.index_select(0, rows) for place, part in parts.items()}
        keys, values = ([chosen[part.data_ptr()] for part in parts] for parts in (self.keys, self.values))
        return Memory(keys, values, self.mask[rows])

    def float(self) -> Memory:
        """The same in single precision."""
        return Memory([k.float() for k in self.keys], [v.float() for v in self.values], self.mask)


class DecoderLayer(nn.Module):
    """Masked self-attention, encoder-decoder attention, feed-forward."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(config.d_model)
        self.self_attention = MultiHeadAttention(config.d_model, config.heads)
        self.cross_norm = nn.LayerNorm(config.d_model)
        self.cross_attention = MultiHeadAttention(config.d_model, config.heads)
        self.feed_forward_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config.d_model, config.feed_forward)

    def forward(
        self,
        x: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
        cache: KVCache | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """(B, T, d) -> (B, T, d), or (S, d) -> (S, d) if x is packed.

        Without a cache the whole prefix is given; with one, x are the positions that it does not hold yet.
        """
        x = self.look_back(x, cache, packing)
        x = x + self.cross_attention(self.cross_norm(x), keys, values, mask=mask, packing=packing)
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out

    def look_back(self, x: Tensor, cache: KVCache | None = None, packing: Packing | None = None) -> Tensor:
        """The first of the three steps: masked self-attention."""
        normed = self.self_norm(x)
        keys, values = self.self_attention.project(normed, packing)
        causal = keys.shape[2] > 1
        if cache is not None:
            keys, values = cache.append(keys, values) if packing is None else cache.fill(keys, values, packing)
        out: Tensor = x + self.self_attention(normed, keys, values, causal=causal, packing=packing)
        return out

    def explained(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward` without a cache, and the attention paid to the picture, (B, heads, T, N)."""
        x = self.look_back(x)
        looked, weights = self.cross_attention.explained(self.cross_norm(x), keys, values, mask=mask)
        x = x + looked
        return x + self.feed_forward(self.feed_forward_norm(x)), weights

    def looked_back(self, x: Tensor) -> Tensor:
        """Attention paid to earlier characters, (B, heads, T, T)."""
        normed = self.self_norm(x)
        keys, values = self.self_attention.project(normed)
        return self.self_attention.explained(normed, keys, values, causal=True)[1]


class Decoder(nn.Module):
    """Token ids and memory in, logits of the next token out."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.d_model)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.d_model)
        nn.init.normal_(self.embedding.weight, std=config.d_model**-0.5)

    def remember(self, memory: Tensor, mask: Tensor) -> Memory:
        """What the layers attend to in the encoder's memory (B, N, d), once for all later calls; mask (B, N)."""
        projected = [layer.cross_attention.project(memory) for layer in self.layers]  # type: ignore[union-attr,operator]
        return Memory([k for k, _ in projected], [v for _, v in projected], mask)

    def forward(
        self,
        tokens: Tensor,
        memory: Memory,
        *,
        caches: list[KVCache] | None = None,
        position: int = 0,
        packing: Packing | None = None,
    ) -> Tensor:
        """Logits (B, T, V) for the token after each of tokens (B, T), or (S, V) for those that are packed.

        Args:
            tokens: Ids, beginning with BOS; with caches, only those not yet in the caches, unless packed.
            memory: From `remember`.
            caches: One per layer, extended in place.
            position: Number of the first token given.
            packing: The tokens not yet in the caches, whose logits are wanted; all without it.
        """
        x = self.embed(tokens, position).to(memory.keys[0].dtype)
        x = x if packing is None else packing.packed(x)
        mask = memory.mask[:, None, None]
        for index, layer in enumerate(self.layers):
            cache = None if caches is None else caches[index]
            x = layer(x, memory.keys[index], memory.values[index], mask, cache, packing)
        return F.linear(self.norm(x.to(self.norm.weight.dtype)), self.embedding.weight)

    def embed(self, tokens: Tensor, position: int = 0) -> Tensor:
        """Token embeddings with positions, (B, T, d)."""
        x: Tensor = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        return x + positions_1d(tokens.shape[1], x.shape[-1], offset=position, device=x.device).to(x.dtype)

    def explained(self, tokens: Tensor, memory: Memory, *, position: int = 0) -> tuple[Tensor, list[Tensor]]:
        """As `forward` without caches, and the attention that each layer paid to the picture, (B, heads, T, N).

        Row t belongs to the character that the decoder writes after tokens[:, t].
        """
        x = self.embed(tokens, position)
        mask = memory.mask[:, None, None]
        paid = []
        for layer, keys, values in zip(self.layers, memory.keys, memory.values, strict=True):
            assert isinstance(layer, DecoderLayer)
            x, weights = layer.explained(x, keys, values, mask)
            paid.append(weights)
        return F.linear(self.norm(x), self.embedding.weight), paid

    def looked_back(self, tokens: Tensor, memory: Memory) -> list[Tensor]:
        """Attention of each layer to earlier characters, (B, heads, T, T); rows as in `explained`."""
        x = self.embed(tokens)
        mask = memory.mask[:, None, None]
        paid = []
        for layer, keys, values in zip(self.layers, memory.keys, memory.values, strict=True):
            assert isinstance(layer, DecoderLayer)
            paid.append(layer.looked_back(x))
            x = layer(x, keys, values, mask)
        return paid

    def new_caches(self) -> list[KVCache]:
        """Empty caches for decoding piece by piece."""
        return [KVCache() for _ in self.layers]
