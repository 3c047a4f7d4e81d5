"""A network prepared for reading: what training needs and reading does not is folded away."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ocrformer.model.backbone import ConvNorm
from ocrformer.model.decoder import Decoder, DecoderLayer
from ocrformer.model.eight_bit import EightBitBackbone, EightBitFeedForward
from ocrformer.model.encoder import EncoderLayer
from ocrformer.model.folded import FoldedAttention
from ocrformer.model.network import Network


def frozen(network: Network, precision: torch.dtype, *, eight_bits: bool = False) -> Network:
    """A copy that only reads.

    Batch norm is folded into the convolution before it. Everything up to the memory, and the projections of the memory
    to keys and values, are in `precision`; the decoder proper stays in float32, so that verifying a draft and decoding
    step by step choose the same characters.

    Args:
        network: In eval mode.
        precision: float32 or bfloat16.
        eight_bits: Convolutions and feed-forward networks of the encoder in integers.
    """
    copied = copy.deepcopy(network).eval().requires_grad_(False)
    if eight_bits:
        copied.backbone = EightBitBackbone(copied.backbone, precision)  # type: ignore[assignment]
        for layer in copied.encoder.layers:
            assert isinstance(layer, EncoderLayer)
            layer.feed_forward = EightBitFeedForward(layer.feed_forward, layer.feed_forward_norm)  # type: ignore[assignment]
    for module in copied.modules():
        if isinstance(module, ConvNorm):
            assert isinstance(module.norm, nn.BatchNorm2d)
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()  # type: ignore[assignment]
    for part in (copied.backbone, copied.encoder, copied.ctc_head):
        part.to(precision)
    for layer in copied.decoder.layers:
        layer.cross_attention.key_value.to(precision)  # type: ignore[union-attr]
    copied.backbone.to(memory_format=torch.channels_last)
    return copied


def judge(decoder: Decoder, precision: torch.dtype) -> Decoder:
    """A copy of a frozen network's decoder to look at whole texts: it needs no keys and values of the memory.

    Its layers are in `precision`, its logits in float32. In float32 it chooses what the decoder does, up to rounding;
    in bfloat16 it is exact enough to weigh two texts against each other, but what `greedy` would write, it tells only
    where one character leads the others clearly.
    """
    copied = copy.deepcopy(decoder)
    for layer in copied.layers:
        assert isinstance(layer, DecoderLayer)
        layer.cross_attention = FoldedAttention(layer.cross_attention)  # type: ignore[assignment]
    copied.requires_grad_(False).layers.to(precision)
    return copied
