"""A guess of a line's text and what a decoder that verifies it has accepted so far; numbers only, no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocrformer.charset import EOS

_NOTHING = np.zeros(0, np.float32)


class Judged(NamedTuple):
    """What a decoder makes of the tokens that a line has open, at T places.

    Attributes:
        asked: The tokens, (T,).
        best: The most probable ids, (T,).
        scores: Their log-probabilities, (T,).
        leads: By how much, in nats, each is more probable than any other, (T,).
    """

    asked: npt.NDArray[np.int64]
    best: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    leads: npt.NDArray[np.float32]


class Draft:
    """A line under verification: its draft, the ids accepted so far, and how the two line up.

    Args:
        draft: A guess of the ids.
        tail: Log-probabilities of so many tokens at its end, EOS included, that are known to be right if all before
            them are; they are not asked about unless one before them is corrected. Fewer than there are tokens, and
            the whole is within the limit.

    Attributes:
        done: Ids accepted so far.
        scores: Their log-probabilities, and that of EOS once it is accepted.
        leads: By how much, in nats, each that was asked about was more probable than any other.
    """

    def __init__(self, draft: Sequence[int], tail: npt.NDArray[np.float32] = _NOTHING) -> None:
        self.draft = np.array(draft, np.int64)
        self.done: list[int] = []
        self.scores = self.leads = _NOTHING
        self._tail = tail
        self._resume = 0  # where the draft goes on
        self._costs = np.arange(len(draft) + 1)  # edit distances of what is done to every beginning of the draft

    def target(self) -> list[int]:
        """What the line would be, up to its known end, if the rest of the draft were right."""
        tokens = [*self.done, *self.draft[self._resume :].tolist(), EOS]
        return tokens[: len(tokens) - len(self._tail)]

    def advance(self, judged: Judged, limit: int) -> bool:
        """Accept what agrees with the decoder, and its correction; True once the line is complete.

        Args:
            judged: The tokens that `target` has beyond what is done.
            limit: Most tokens, EOS included.
        """
        room = limit - len(self.done)
        differs = np.flatnonzero(judged.best[:room] != judged.asked[:room])
        count = differs[0] + 1 if differs.size else min(room, len(judged.asked))
        accepted = judged.best[:count]
        self.scores = np.concatenate((self.scores, judged.scores[:count]))
        self.leads = np.concatenate((self.leads, judged.leads[:count]))
        if not differs.size and len(self._tail):
            self.done = self.draft.tolist()
            self.scores = np.concatenate((self.scores, self._tail))
            return True
        self._tail = _NOTHING
        self.done += accepted[accepted != EOS].tolist()
        if not differs.size or accepted[-1] == EOS or len(self.done) >= limit:
            return True
        self._realign(accepted)
        return False

    def _realign(self, accepted: npt.NDArray[np.int64]) -> None:
        """Go on where the draft's beginning is nearest to what is done: any guess is right, a good one saves passes."""
        places = np.arange(len(self._costs))
        for token in accepted:
            replaced = np.append(np.inf, self._costs[:-1] + (self.draft != token))
            best = np.minimum(replaced, self._costs + 1)  # the token replaces one of the draft's, or is new
            self._costs = np.minimum.accumulate(best - places) + places  # the draft has some too many
        self._resume = int(np.flatnonzero(self._costs == self._costs.min())[-1])
