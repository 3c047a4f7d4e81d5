"""A guess of a line's text and what a decoder that verifies it has accepted so far; numbers only, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ocrformer.charset import EOS


class Draft:
    """A line under verification: its draft, the ids accepted so far, and how the two line up.

    Args:
        draft: A guess of the ids.

    Attributes:
        done: Ids accepted so far.
        scores: Their log-probabilities, and that of EOS once it is accepted.
        lead: By how much, in nats, the least certain of them was more probable than any other.
    """

    def __init__(self, draft: Sequence[int]) -> None:
        self.draft = np.array(draft, np.int64)
        self.done: list[int] = []
        self.scores = np.zeros(0, np.float32)
        self.lead = math.inf
        self._resume = 0  # where the draft goes on
        self._costs = np.arange(len(draft) + 1)  # edit distances of what is done to every beginning of the draft

    def target(self) -> list[int]:
        """What the line would be if the rest of the draft were right."""
        return [*self.done, *self.draft[self._resume :].tolist(), EOS]

    def advance(self, log_probs: npt.NDArray[np.float32], limit: int) -> bool:
        """Accept what agrees with the decoder, and its correction; True once the line is complete.

        Args:
            log_probs: Of the open tokens, (T, V); altered.
            limit: Most tokens, EOS included.
        """
        open_ = np.append(self.draft[self._resume :], EOS)[: limit - len(self.done)]
        best = log_probs[: len(open_)].argmax(axis=-1)
        differs = np.flatnonzero(best != open_)
        accepted = best[: differs[0] + 1] if differs.size else open_
        places = np.arange(len(accepted))
        scores = log_probs[places, accepted]
        self.scores = np.append(self.scores, scores)
        log_probs[places, accepted] = -np.inf  # what is left are the others
        self.lead = min(self.lead, float((scores - log_probs[places].max(axis=-1)).min()))
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
