"""The shallow CNN: a grey line image becomes a feature map of a few rows and a quarter of the width."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ocrformer.config import ModelConfig
from ocrformer.image import PAPER


def inside(widths: Tensor, width: int) -> Tensor:
    """Boolean (B, width): True on pixel columns of the line rather than of the padding; widths (B,) in pixels."""
    return torch.arange(width, device=widths.device)[None] < widths[:, None]


class ConvNorm(nn.Module):
    """3x3 convolution and batch norm; no activation."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / stride, w / stride)."""
        out: Tensor = self.norm(self.conv(x))
        return out


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around a skip connection; starts as the identity (He et al. 2016; zero-init gamma)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels)
        nn.init.zeros_(self.second.norm.weight)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(B, C, h, w) -> the same shape; keep (B, 1, 1, w) is zero on padding."""
        inner = F.relu(self.first(x)) * keep
        return F.relu(x + self.second(inner)) * keep


class Stage(nn.Module):
    """A strided convolution and residual blocks after it."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int], blocks: int) -> None:
        super().__init__()
        self.down = ConvNorm(inputs, outputs, stride)
        self.blocks = nn.ModuleList(ResidualBlock(outputs) for _ in range(blocks))

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h / 2, W / 4); keep (B, 1, 1, W / 4) is zero on padding."""
        x = F.relu(self.down(x)) * keep
        for block in self.blocks:
            x = block(x, keep)
        return x


def keep(used: Tensor, stride: int, kind: torch.dtype) -> Tensor:
    """(B, 1, 1, ceil(W / stride)): 1 on columns that cover pixels of the line, 0 on padding."""
    return used[:, None, None, ::stride].to(kind)


class Backbone(nn.Module):
    """Four strided convolutions with residual blocks between them.

    Padding stays exactly zero between layers: a line gives the same features in any batch.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        first, second, third = config.channels
        widths = (second, third, config.d_model)
        self.stem = ConvNorm(1, first, (2, 2))
        self.stages = nn.ModuleList(
            Stage(inputs, outputs, stride, count)
            for inputs, outputs, stride, count in zip(
                config.channels, widths, ((2, 2), (2, 1), (2, 1)), config.blocks, strict=True
            )
        )
        self.flatten_rows = (
            nn.Conv2d(config.d_model, config.d_model, (config.height // 16, 1)) if config.rows == 1 else None
        )

    def forward(self, images: Tensor, used: Tensor) -> Tensor:
        """Feature map of a batch of lines.

        Args:
            images: Prepared lines, uint8 (B, 1, height, W), `PAPER` where padded.
            used: Boolean (B, W), False where padded; from `inside`.

        Returns:
            (B, d_model, rows, ceil(W / 4)), zero where padded.
        """
        ink = (images.to(torch.float32) - PAPER) / (255 - PAPER)  # paper 0, ink 1
        ink = ink.to(self.stem.conv.weight.dtype).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.stem(ink)) * keep(used, 2, ink.dtype)  # (B, C, height / 2, W / 2)
        kept = keep(used, 4, ink.dtype)
        for stage in self.stages:
            x = stage(x, kept)
        return x if self.flatten_rows is None else self.flatten_rows(x) * kept
