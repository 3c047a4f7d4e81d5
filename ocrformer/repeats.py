"""How often a character is repeated: CTC, which goes along the line, counts; a decoder only says what is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ocrformer.charset import SPECIALS, Charset
from ocrformer.decoding import Hypothesis

_LONG = 5  # repeats; up to four are as easily told apart as other characters


def alike(charset: Charset) -> list[int]:
    """For each id the first one that differs from it in case alone: in a row of x, some look like X."""
    first: dict[str, int] = {}
    letters = enumerate(charset.characters, SPECIALS)
    return [*range(SPECIALS), *(first.setdefault(letter.casefold(), index) for index, letter in letters)]


def recounted(text: Hypothesis, draft: Sequence[int], alike: Sequence[int]) -> Hypothesis:
    """The decoder's text with the draft's number of long repeats, if the two differ in nothing else.

    Args:
        text: From the decoder; an added repeat takes the log-probability of the one before it.
        draft: Ids of the CTC text.
        alike: From the function of that name.
    """
    ours, theirs = _runs(text.ids, alike), _runs(draft, alike)
    if ours == theirs or [key for key, _ in ours] != [key for key, _ in theirs]:
        return text
    kept: list[int] = []
    start = 0
    for (_, count), (_, wanted) in zip(ours, theirs, strict=True):
        if count != wanted and max(count, wanted) < _LONG:
            return text
        kept += [start + min(number, count - 1) for number in range(wanted)]
        start += count
    ends = range(len(text.ids), len(text.log_probs))
    return Hypothesis([text.ids[place] for place in kept], text.log_probs[[*kept, *ends]])


def _runs(ids: Sequence[int], alike: Sequence[int]) -> list[tuple[int, int]]:
    """What is repeated, and how often."""
    return [(key, len(list(run))) for key, run in groupby(ids, alike.__getitem__)]
