"""How often something is repeated: CTC, which goes along the line, counts; a decoder only says what is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from ocrformer.charset import SPECIALS, Charset
from ocrformer.decoding import Hypothesis

_LONG = 5  # repeats; up to four are as easily told apart as other characters
_UNITS = (1, 2, 3, 4)  # characters that are repeated together


def alike(charset: Charset) -> list[int]:
    """For each id the first one that differs from it in case alone: in a row of x, some look like X."""
    first: dict[str, int] = {}
    letters = enumerate(charset.characters, SPECIALS)
    return [*range(SPECIALS), *(first.setdefault(letter.casefold(), index) for index, letter in letters)]


def recounted(text: Hypothesis, draft: Sequence[int], alike: Sequence[int]) -> Hypothesis:
    """The decoder's text with the draft's number of long repeats, if the two differ in nothing else.

    Args:
        text: From the decoder; an added repeat takes the log-probabilities of the one before it.
        draft: Ids of the CTC text.
        alike: From the function of that name.
    """
    ours, theirs = ([alike[index] for index in ids] for ids in (text.ids, draft))
    if ours == theirs:
        return text
    runs, wanted_runs = _runs(ours), _runs(theirs)
    if [run.unit for run in runs] != [run.unit for run in wanted_runs]:
        return text
    kept: list[int] = []
    start = 0
    for (unit, count), (_, wanted) in zip(runs, wanted_runs, strict=True):
        if count != wanted and max(count, wanted) < _LONG:
            return text
        last = start + (count - 1) * len(unit)
        for number in range(wanted):
            first = min(start + number * len(unit), last)
            kept += range(first, first + len(unit))
        start = last + len(unit)
    ends = range(len(text.ids), len(text.log_probs))
    return Hypothesis([text.ids[place] for place in kept], text.log_probs[[*kept, *ends]])


class _Run(NamedTuple):
    unit: tuple[int, ...]
    times: int


def _runs(ids: Sequence[int]) -> list[_Run]:
    """What is repeated, and how often: characters, or some in turn where that takes in more, as in `- - - -`."""
    runs: list[_Run] = []
    start = 0
    while start < len(ids):
        candidates = [_run(ids, start, length) for length in _UNITS]
        runs.append(max(candidates, key=lambda run: len(run.unit) * run.times))  # the first of equals
        start += len(runs[-1].unit) * runs[-1].times
    return runs


def _run(ids: Sequence[int], start: int, length: int) -> _Run:
    """What stands at `start`, and how often; of several characters nothing unless it stands there three times."""
    unit = tuple(ids[start : start + length])
    ends = range(start + length, len(ids) + 1, length)
    others = sum(1 for _ in takewhile(lambda end: tuple(ids[end : end + length]) == unit, ends))
    return _Run(unit, 1 + others) if length == 1 or others >= 2 else _Run((), 0)
