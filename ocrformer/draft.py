"""A guess of a line's text and what a decoder that verifies it has accepted so far; numbers only, no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ocrformer.charset import EOS


class Choices(NamedTuple):
    """What a decoder makes of a line's open tokens, if those before each are right.

    Attributes:
        best: The most probable id for each, (T,).
        log_probs: Its log-probability, (T,).
        leads: By how much, in nats, it is more probable than any other, (T,).
        of_draft: Log-probability of the draft's id, (T,).
    """

    best: npt.NDArray[np.int64]
    log_probs: npt.NDArray[np.float32]
    leads: npt.NDArray[np.float32]
    of_draft: npt.NDArray[np.float32]


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

    def open(self) -> list[int]:
        """The ids still to be verified, EOS at last."""
        return [*self.draft[self._resume :].tolist(), EOS]

    def advance(self, choices: Choices, limit: int) -> bool:
        """Accept what agrees with the decoder, and its correction; True once the line is complete.

        Args:
            choices: For the open tokens.
            limit: Most tokens, EOS included.
        """
        open_ = np.array(self.open()[: limit - len(self.done)])
        differs = np.flatnonzero(choices.best[: len(open_)] != open_)
        count = int(differs[0]) + 1 if differs.size else len(open_)
        accepted = choices.best[:count]
        self.scores = np.append(self.scores, choices.log_probs[:count])
        self.lead = min(self.lead, float(choices.leads[:count].min()))
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
