"""Lines wider than any training line: cut where there is little ink, with overlap, and joined by position."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ocrformer.image import PAPER, Pixels

MAX_WIDTH = 1536
"""Widest line that goes through the network whole: the widest training batch."""
_OVERLAP = 96  # pixels that each piece sees beyond its own part, on either side
_REACH = 128  # pixels around an even division in which a cut may be placed


@dataclass(frozen=True)
class Piece:
    """Part of a line.

    Attributes:
        pixels: What the network sees, (height, width).
        start: Column of the line at which `pixels` begins.
        own: First and past-the-last column of the line whose characters this piece contributes.
    """

    pixels: Pixels
    start: int
    own: tuple[int, int]


def split(line: Pixels) -> list[Piece]:
    """Pieces of a prepared line; one, if it is narrow enough."""
    width = line.shape[1]
    if width <= MAX_WIDTH:
        return [Piece(line, 0, (0, width))]
    count = -(-width // (MAX_WIDTH - 2 * (_OVERLAP + _REACH)))
    cuts = [0, *(_gap(line, round(width * i / count)) for i in range(1, count)), width]
    pieces = []
    for left, right in itertools.pairwise(cuts):
        start, end = max(0, left - _OVERLAP), min(width, right + _OVERLAP)
        pieces.append(Piece(line[:, start:end], start, (left, right)))
    return pieces


def _gap(line: Pixels, near: int) -> int:
    """The column near the given one where a gap begins: least ink, then right after ink, then nearest."""
    low, high = max(2, near - _REACH), min(line.shape[1] - 1, near + _REACH)
    ink = np.maximum(line.astype(np.int32) - PAPER, 0).sum(axis=0)
    window = ink[low:high] // 64  # a few grey levels of noise do not matter
    begins = window + np.where(ink[low - 1 : high - 1] // 64 > window, 0, 1)
    distance = np.abs(np.arange(low, high) - near)
    return low + int(np.lexsort((distance, begins))[0])


def join(pieces: list[Piece], positions: list[np.ndarray]) -> list[np.ndarray]:
    """Which characters of each piece to keep, as boolean arrays: those whose middle lies in the piece's own part.

    Args:
        pieces: Of one line.
        positions: Column of each character's middle within its piece, in pixels.
    """
    kept = []
    for piece, columns in zip(pieces, positions, strict=True):
        absolute = columns + piece.start
        last = piece is pieces[-1]
        kept.append((absolute >= piece.own[0]) & ((absolute < piece.own[1]) | last))
    return kept
