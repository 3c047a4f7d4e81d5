"""What the processor at hand multiplies fast."""

from __future__ import annotations

from typing import Any

import torch


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32; some take a hundred times as long."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    abilities = _abilities()
    return device.type == "cpu" and bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))


def fast_eight_bits(device: torch.device) -> bool:
    """Whether the device multiplies eight-bit integers faster than floats, and torch has the operators for it."""
    there = device.type == "cpu" and hasattr(torch.ops.onednn, "qconv2d_pointwise")
    return there and bool(_abilities().get("avx2"))


def packs_weights(device: torch.device) -> bool:
    """Whether torch keeps weights of linear layers on the device in the order in which it multiplies them."""
    return device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _abilities() -> dict[str, Any]:
    """Instruction sets of the CPU; none where torch does not tell."""
    return dict(torch.cpu.get_capabilities()) if hasattr(torch.cpu, "get_capabilities") else {}
