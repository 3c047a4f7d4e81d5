"""Verdicts on lines: what is suspect, and why."""

import numpy as np
import pytest

from ocrformer.reading import Reading, verdict


def reading(text, seen):
    ids = [list(map(ord, part)) for part in (text, seen)]
    return Reading(ids[0], np.zeros(len(text) + 1, np.float32), np.arange(len(text)), ids[1])


@pytest.mark.parametrize(
    ("text", "seen", "status", "reason"),
    [
        ("Total 14.35", "Total 14.35", "ok", ""),
        ("Total 14.35", "Tota1 14,35", "ok", ""),
        ("", "x", "empty", ""),
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
