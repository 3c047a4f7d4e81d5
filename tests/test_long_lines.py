import itertools

import numpy as np
import pytest

from ocrformer.image import PAPER
from ocrformer.long_lines import MAX_WIDTH, join, split


def line_of_bars(width, pitch=20, bar=12):
    """Full-height strokes with gaps between them."""
    line = np.full((32, width), PAPER, np.uint8)
    for start in range(0, width - bar, pitch):
        line[:, start : start + bar] = 255
    return line


def test_a_line_that_fits_stays_whole():
    (piece,) = split(line_of_bars(MAX_WIDTH))
    assert piece.start == 0
    assert piece.own == (0, MAX_WIDTH)


@pytest.mark.parametrize("width", [MAX_WIDTH + 1, 2000, 3333, 8000, 16384])
def test_pieces_cover_the_line_and_fit_the_network(width):
    line = line_of_bars(width)
    pieces = split(line)
    assert len(pieces) > 1
    assert pieces[0].own[0] == 0
    assert pieces[-1].own[1] == width
    for piece, following in itertools.pairwise(pieces):
        assert piece.own[1] == following.own[0]
        assert piece.start + piece.pixels.shape[1] > following.start  # they overlap
    for piece in pieces:
        assert piece.pixels.shape[1] <= MAX_WIDTH
        assert np.array_equal(piece.pixels, line[:, piece.start : piece.start + piece.pixels.shape[1]])


def test_cuts_lie_where_a_gap_begins():
    line = line_of_bars(4000)
    for piece in split(line)[:-1]:
        cut = piece.own[1]
        assert line[:, cut].max() == PAPER
        assert line[:, cut - 1].max() == 255


def test_every_character_is_kept_exactly_once():
    pieces = split(line_of_bars(4000))
    middles = np.arange(5, 4000, 20)
    seen = [middles[(middles >= p.start) & (middles < p.start + p.pixels.shape[1])] - p.start for p in pieces]
    kept = join(pieces, seen)
    together = [m + p.start for p, s, k in zip(pieces, seen, kept, strict=True) for m in s[k]]
    assert together == middles.tolist()
