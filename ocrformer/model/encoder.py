"""Transformer encoder over the flattened feature map (pre-LN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ocrformer.config import ModelConfig
from ocrformer.model.attention import FeedForward, MultiHeadAttention


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each behind a layer norm and added to its input."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.d_model)
        self.attention = MultiHeadAttention(config.d_model, config.heads)
        self.feed_forward_norm = nn.LayerNorm(config.d_model)
        self.feed_forward = FeedForward(config.d_model, config.feed_forward)

    def forward(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """Tokens of several batches (sum of all B * N, d) -> the same; masks are boolean (B, N)."""
        x = x + self.attention.within(self.attention_norm(x), masks)
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class Encoder(nn.Module):
    """A stack of encoder layers and a final layer norm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.norm = nn.LayerNorm(config.d_model)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Tokens (B, N, d) -> memory (B, N, d); mask (B, N) is True on tokens that are not padding."""
        mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        return self.several(x.flatten(0, 1), [mask]).view_as(x)

    def several(self, x: Tensor, masks: Sequence[Tensor]) -> Tensor:
        """The same for batches whose tokens follow each other: (sum of all B * N, d), with a mask (B, N) for each."""
        for layer in self.layers:
            x = layer(x, masks)
        out: Tensor = self.norm(x)
        return out

    def attention(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """Self-attention of each layer, (B, heads, N, N), for the same arguments as `forward`."""
        paid = []
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            normed = layer.attention_norm(x)
            keys, values = layer.attention.project(normed)
            paid.append(layer.attention.explained(normed, keys, values, mask=mask[:, None, None])[1])
            x = layer(x.flatten(0, 1), [mask]).view_as(x)
        return paid
