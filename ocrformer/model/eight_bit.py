"""Convolutions and feed-forward networks in eight-bit integers: half the time on CPUs, and next to no text changes.

Activations become integers from 0 to 255 with one scale for all, weights integers from -63 to 63 with a scale for each
output channel: two such products fit the sixteen bits in which processors without VNNI add them, so that all processors
compute the same. No pictures are needed to find the scales: batch norm and layer norm know mean and deviation of what
leaves them (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction"). Sums of
integers are exact in any order, so that what a line becomes does not depend on its company.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ocrformer.image import PAPER
from ocrformer.model.attention import FeedForward
from ocrformer.model.backbone import Backbone, ConvNorm, ResidualBlock, Stage, keep

_TOP = 63  # greatest weight
_DEVIATIONS = 6.0  # activations beyond so many standard deviations from their mean are cut off
_GELU_LEAST = -0.17


@dataclass(frozen=True)
class Grid:
    """The values that 0..255 stand for: (integer - zero) * scale."""

    scale: float
    zero: int

    @classmethod
    def over(cls, low: float, high: float) -> Grid:
        """The finest that spans low to high, zero among them."""
        scale = (high - low) / 255
        return cls(scale, round(-low / scale))

    def of(self, x: Tensor) -> Tensor:
        """Floats to the nearest integers, uint8."""
        return (x.float() / self.scale + self.zero).round_().clamp_(0, 255).to(torch.uint8)


_INK = Grid(1 / (255 - PAPER), PAPER)


class EightBitConv:
    """A convolution and ReLU from integers to integers.

    Args:
        conv: With batch norm folded in.
        source: What the integers of the input stand for.
        target: What those of the output shall stand for; its zero is 0.
    """

    def __init__(self, conv: nn.Conv2d, source: Grid, target: Grid) -> None:
        weight, self._scales = _integers(conv.weight)
        assert conv.bias is not None
        self._bias = conv.bias.detach()
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        self._place = list(conv.stride), [1, 1], [1, 1]  # stride, padding, dilation
        self._weight = torch.ops.onednn.qconv_prepack(weight, self._scales, source.scale, source.zero, *self._place, 1)
        self.source, self.target = source, target

    def __call__(self, x: Tensor) -> Tensor:
        """uint8 (B, C, h, w), channels last -> the same kind."""
        source = x, self.source.scale, self.source.zero
        weight = self._weight, self._scales, self._zeros, self._bias
        target = self.target.scale, 0, torch.uint8
        out: Tensor = torch.ops.onednn.qconv2d_pointwise(*source, *weight, *self._place, 1, *target, "relu", [], "")
        return out

    def added_to(self, other: Tensor, x: Tensor, scale: float) -> Tensor:
        """ReLU of the convolution of x and `other`, whose integers stand for multiples of `scale`; other is lost."""
        source = x, self.source.scale, self.source.zero
        weight = self._weight, self._scales, self._zeros, other, self._bias
        target = self.target.scale, 0, torch.uint8
        added = scale, 0, "sum", 1.0
        multiply = torch.ops.onednn.qconv2d_pointwise.binary
        out: Tensor = multiply(*source, *weight, *self._place, 1, *target, *added, "relu", [], "")
        return out


class EightBitBackbone(nn.Module):
    """`Backbone` in integers.

    Args:
        backbone: In eval mode, its batch norm not folded.
        precision: Of the feature map.
    """

    def __init__(self, backbone: Backbone, precision: torch.dtype) -> None:
        super().__init__()
        self.precision = precision
        self.stem = _conv(backbone.stem, _INK)
        self.stages: list[tuple[EightBitConv, list[tuple[EightBitConv, EightBitConv]]]] = []
        grid = self.stem.target
        for stage in backbone.stages:
            assert isinstance(stage, Stage)
            down = _conv(stage.down, grid)
            blocks = []
            grid = down.target
            for block in stage.blocks:
                blocks.append(_block(block, grid))
                grid = blocks[-1][1].target
            self.stages.append((down, blocks))
        self.flatten_rows = None if backbone.flatten_rows is None else backbone.flatten_rows.to(precision)

    def forward(self, images: Tensor, used: Tensor) -> Tensor:
        """As `Backbone.forward`."""
        x = self.stem(images.contiguous(memory_format=torch.channels_last)).mul_(keep(used, 2, torch.uint8))
        kept = keep(used, 4, torch.uint8)
        last = self.stem
        for down, blocks in self.stages:
            x, last = down(x).mul_(kept), down
            for first, second in blocks:
                x, last = second.added_to(x, first(x).mul_(kept), last.target.scale).mul_(kept), second
        out = x.to(self.precision).mul_(last.target.scale)
        return out if self.flatten_rows is None else self.flatten_rows(out) * kept.to(self.precision)


class EightBitFeedForward(nn.Module):
    """`FeedForward` in integers.

    Args:
        feed_forward: In float32.
        norm: Whose output it is given.
    """

    def __init__(self, feed_forward: FeedForward, norm: nn.LayerNorm) -> None:
        super().__init__()
        rise, fall = feed_forward[0], feed_forward[2]
        assert isinstance(rise, nn.Linear)
        assert isinstance(fall, nn.Linear)
        reach = float((norm.bias.abs() + _DEVIATIONS * norm.weight.abs()).max())
        means, deviations = rise(norm.bias), (rise.weight * norm.weight).norm(dim=1)
        self._outer = Grid.over(-reach, reach)
        self._inner = Grid.over(_GELU_LEAST, float((means + _DEVIATIONS * deviations).max()))
        self._rise, self._fall = _packed(rise), _packed(fall)

    def forward(self, x: Tensor) -> Tensor:
        """(T, d) -> (T, d)."""
        multiply = torch.ops.onednn.qlinear_pointwise
        outer, inner = (self._outer.scale, self._outer.zero), (self._inner.scale, self._inner.zero)
        raised = multiply(self._outer.of(x), *outer, *self._rise, *inner, torch.uint8, "gelu", [], "none")
        out: Tensor = multiply(raised, *inner, *self._fall, 1.0, 0, x.dtype, "none", [], "")
        return out


def _conv(layer: ConvNorm, source: Grid, reach: float | None = None) -> EightBitConv:
    """A convolution with its batch norm, whose output reaches so far, or as far as the batch norm says."""
    assert isinstance(layer.norm, nn.BatchNorm2d)
    fused = fuse_conv_bn_eval(layer.conv, layer.norm)
    return EightBitConv(fused, source, Grid.over(0.0, _reach(layer) if reach is None else reach))


def _block(block: nn.Module, source: Grid) -> tuple[EightBitConv, EightBitConv]:
    """The convolutions of a residual block; what is added has deviations of both, as if they were independent."""
    assert isinstance(block, ResidualBlock)
    first = _conv(block.first, source)
    return first, _conv(block.second, first.target, math.hypot(255 * source.scale, _reach(block.second)))


def _reach(layer: ConvNorm) -> float:
    """How far the activations behind a batch norm go."""
    norm = layer.norm
    assert isinstance(norm, nn.BatchNorm2d)
    return float((norm.bias + _DEVIATIONS * norm.weight.abs()).max())


def _integers(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (outputs, ...) as int8 and their scales (outputs,)."""
    weight = weight.detach()
    scales = weight.abs().flatten(1).amax(dim=1).clamp_min(1e-8) / _TOP
    return (weight / scales.view(-1, *[1] * (weight.dim() - 1))).round().to(torch.int8), scales


def _packed(linear: nn.Linear) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights, scales, zeros and bias as the operator takes them."""
    weight, scales = _integers(linear.weight)
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    return torch.ops.onednn.qlinear_prepack(weight, None), scales, zeros, linear.bias.detach()
