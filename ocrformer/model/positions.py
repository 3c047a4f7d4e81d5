"""Sinusoidal positions in one and two dimensions, for any size (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


def sinusoid(positions: Tensor, channels: int) -> Tensor:
    """Sine and cosine features of integer positions.

    Args:
        positions: Positions, any shape (...).
        channels: Features per position, even.

    Returns:
        Features (..., channels), float32, each vector of norm sqrt(channels / 2).
    """
    if channels % 2:
        raise ValueError(f"channels must be even, got {channels}")
    exponent = torch.arange(0, channels, 2, device=positions.device, dtype=torch.float32) / channels
    angles = positions.float().unsqueeze(-1) * torch.exp(-math.log(10000.0) * exponent)  # (..., channels / 2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # what is cached while reading must serve training too
def positions_1d(length: int, channels: int, *, offset: int = 0, device: torch.device | None = None) -> Tensor:
    """Features (length, channels) of the positions offset, offset + 1, ..."""
    return sinusoid(torch.arange(offset, offset + length, device=device), channels)


def positions_2d(
    rows: int, columns: int, channels: int, *, offset: int = 0, device: torch.device | None = None
) -> Tensor:
    """Features (rows, columns, channels): the first half encodes the row, the second half the column.

    Args:
        rows: Height of the feature map.
        columns: Width of the feature map.
        channels: Features per cell, a multiple of four.
        offset: Number of the first column; random in training, so that a line wider than any training line
            still meets column numbers that were trained.
        device: Where the result is made.
    """
    if torch.compiler.is_compiling():  # the number of columns is a symbol while a graph is exported
        return _grid(rows, columns, channels, offset, device)
    return _cached_grid(rows, columns, channels, offset, device)


def _grid(rows: int, columns: int, channels: int, offset: int, device: torch.device | None) -> Tensor:
    half = channels // 2
    row = sinusoid(torch.arange(rows, device=device), half)[:, None].expand(rows, columns, half)
    column = sinusoid(torch.arange(offset, offset + columns, device=device), half)[None].expand(rows, columns, half)
    return torch.cat((row, column), dim=-1)


@lru_cache(maxsize=256)
@torch.inference_mode(False)
def _cached_grid(rows: int, columns: int, channels: int, offset: int, device: torch.device | None) -> Tensor:
    return _grid(rows, columns, channels, offset, device)
