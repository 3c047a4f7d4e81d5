"""Verdicts on lines: what is suspect, and why."""

import numpy as np
import pytest

from ocrformer.image import PAPER
from ocrformer.long_lines import split
from ocrformer.reading import Reading, joined, tidied, verdict


def reading(text, seen):
    ids = [list(map(ord, part)) for part in (text, seen)]
    return Reading(ids[0], np.zeros(len(text) + 1, np.float32), np.arange(len(text)), ids[1])


@pytest.mark.parametrize(
    ("text", "seen", "status", "reason"),
    [
        ("Total 14.35", "Total 14.35", "ok", ""),
        ("Total 14.35", "Tota1 14,35", "ok", ""),
        ("", "x", "empty", ""),
        ("", "a line that was lost", "suspect", "less text than the CTC head sees"),
        ("0000000000", "000000000", "ok", ""),
        ("ha ha ha ha ha ha", "ha ha ha ha ha ha", "ok", ""),
        ("llllllllllllllll", "lllll", "suspect", "the decoder repeats itself"),
        ("of the of the of the of the", "of the", "suspect", "the decoder repeats itself"),
        ("a line and its happy ending", "a line and its", "suspect", "more text than the CTC head sees"),
        ("a line and", "a line and its happy ending", "suspect", "less text than the CTC head sees"),
        ("completely", "otherwise!", "suspect", "decoder and CTC head disagree"),
    ],
)
def test_verdicts(text, seen, status, reason):
    assert verdict(reading(text, seen)) == (status, reason)


def test_doubt_of_all_pieces_counts():
    """Of the places where a piece ends as well, and of pieces in which nothing was found."""
    pieces = split(np.full((32, 2500), PAPER, np.uint8))
    empty = [Reading([], np.array([-0.5], np.float32), np.array([], np.int64), []) for _ in pieces]
    whole, columns = joined(pieces, empty)
    assert whole.ids == [] and not len(columns)
    assert whole.log_probs.sum() == pytest.approx(-0.5 * len(pieces))


@pytest.mark.parametrize(
    ("text", "tidy"), [("  a  b ", "a b"), ("a b", "a b"), ("   ", ""), ("", ""), (" a", "a"), ("a   ", "a")]
)
def test_spaces_that_no_text_has_are_left_out_but_cost_what_they_cost(text, tidy):
    ids = list(map(ord, text))
    log_probs = -np.arange(len(text) + 1, dtype=np.float32)
    before = Reading(ids, log_probs, np.arange(len(text)), ids)
    after, columns = tidied((before, np.arange(len(text)) + 0.5), ord(" "))
    assert "".join(map(chr, after.ids)) == tidy
    assert after.ids == after.ctc_ids
    assert len(columns) == len(after.frames) == len(after.ids) == len(after.log_probs) - 1
    assert after.log_probs.sum() == log_probs.sum()
    assert [text[frame] for frame in after.frames] == list(tidy)
    assert verdict(after)[0] == ("ok" if tidy else "empty")
