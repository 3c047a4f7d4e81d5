"""Figures of line recognition as published; both sides are normalised first (NFC, white space)."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz.distance import Levenshtein

from ocrformer.charset import normalise

_PLAIN = str.maketrans({"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "—": "-", "–": "-", "…": "..."})
_BINS = 15
_DRAWS = 50

Floats = npt.NDArray[np.float64]


def fold(text: str) -> str:
    """Case-folded text with curly quotes and dashes made plain: what data sets disagree about.

    Once only: of four hyphens it leaves two, and of these one.
    """
    return normalise(normalise(text).casefold().translate(_PLAIN).replace("--", "-"))


def without_spaces(text: str) -> str:
    """Folded text without spaces, for labels that set them at random; to be compared as it is."""
    return fold(text).replace(" ", "")


@dataclass(frozen=True)
class Score:
    """Figures over a set of lines.

    Attributes:
        lines: Number of lines.
        cer: Character error rate: sum of edit distances over sum of reference lengths (micro average).
        wer: Word error rate, likewise over white-space separated words.
        exact: Share of lines without any error.
        ned: 1 - normalised edit distance, mean over lines of 1 - d / max(length) (ICDAR 2019; a pair of empty lines
            counts 1).
        precision: SROIE word precision: words of the prediction that match one of the same line's reference words,
            each once, in any order, over all predicted words (scorer of TrOCR, ICDAR 2019 SROIE task 2).
        recall: The same matches over all reference words.
        f1: Harmonic mean of the two.
    """

    lines: int
    cer: float
    wer: float
    exact: float
    ned: float
    precision: float
    recall: float
    f1: float


def distances(references: Sequence[str], predictions: Sequence[str]) -> tuple[Floats, Floats]:
    """Edit distance and reference length of each line; the texts must be prepared alike."""
    pairs = list(zip(references, predictions, strict=True))
    edits = np.array([Levenshtein.distance(r, p) for r, p in pairs], np.float64)
    return edits, np.array([len(r) for r, _ in pairs], np.float64)


def score(references: Sequence[str], predictions: Sequence[str], *, folded: bool = True) -> Score:
    """Compare predictions with references, line by line.

    Args:
        references: True texts.
        predictions: Read texts, in the same order.
        folded: Compare after `fold`, otherwise after `normalise` only.
    """
    prepare = fold if folded else normalise
    wanted, got = [prepare(r) for r in references], [prepare(p) for p in predictions]
    edits, lengths = distances(wanted, got)
    words = [(r.split(), p.split()) for r, p in zip(wanted, got, strict=True)]
    word_edits = sum(Levenshtein.distance(r, p) for r, p in words)
    matches = sum((Counter(r) & Counter(p)).total() for r, p in words)
    referenced, predicted = sum(len(r) for r, _ in words), sum(len(p) for _, p in words)
    longest = np.maximum(lengths, [len(p) for p in got])
    blank = not (referenced or predicted)  # and read as such
    precision, recall = (matches + blank) / max(1, predicted), (matches + blank) / max(1, referenced)
    count = len(edits)
    return Score(
        lines=count,
        cer=float(edits.sum() / max(1.0, lengths.sum())),
        wer=word_edits / max(1, referenced),
        exact=float((edits == 0).mean()) if count else 0.0,
        ned=float(np.mean(1 - edits / np.maximum(longest, 1))) if count else 0.0,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / max(1e-12, precision + recall),
    )


def bootstrap(edits: Floats, lengths: Floats, *, rounds: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % confidence interval of the character error rate, or of a change of it, resampling lines (percentiles)."""
    if not len(edits):
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(rounds):
        drawn = rng.integers(0, len(edits), len(edits))
        rates.append(edits[drawn].sum() / max(1.0, float(lengths[drawn].sum())))
    low, high = np.quantile(rates, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Comparison:
    """Two models on the same lines.

    Attributes:
        difference: Character error rate of the second minus that of the first.
        low: Lower end of its 95 % interval, by paired bootstrap over lines.
        high: Upper end.
        first_better: Lines on which the first makes fewer errors.
        second_better: Lines on which the second does.
    """

    difference: float
    low: float
    high: float
    first_better: int
    second_better: int


def compare(first: Floats, second: Floats, lengths: Floats, *, rounds: int = 1000, seed: int = 0) -> Comparison:
    """Compare the edit distances of two models line by line."""
    change = second - first
    total = max(1.0, float(lengths.sum()))
    low, high = bootstrap(change, lengths, rounds=rounds, seed=seed)
    better, worse = int((change > 0).sum()), int((change < 0).sum())
    return Comparison(float(change.sum() / total), low, high, better, worse)


def confusions(references: Sequence[str], predictions: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often one character stood for another; an empty string stands for none (insertions, deletions)."""
    counts: Counter[tuple[str, str]] = Counter()
    for reference, prediction in zip(references, predictions, strict=True):
        for edit in Levenshtein.editops(reference, prediction).as_list():
            tag, i, j = str(edit[0]), int(edit[1]), int(edit[2])
            wrong = "" if tag == "delete" else prediction[j]
            right = "" if tag == "insert" else reference[i]
            counts[right, wrong] += 1
    return counts


def correct_characters(reference: str, written: Sequence[str]) -> npt.NDArray[np.bool_]:
    """For each written character whether all of it is right, by the best alignment of both texts, folded."""
    letters, owners = folded_letters(written)
    right = np.ones(len(written), bool)
    for edit in Levenshtein.editops(fold(reference), letters).as_list():
        if edit[0] != "delete":
            right[list(owners[int(edit[2])])] = False
    return right


def folded_letters(written: Sequence[str]) -> tuple[str, list[set[int]]]:
    """Folded text, character by character, and of each of its letters the characters that became it."""
    letters = ""
    owners: list[set[int]] = []
    merged = True  # whether a hyphen must begin a new letter
    for owner, character in enumerate(written):
        for letter in unicodedata.normalize("NFC", character.casefold()).translate(_PLAIN):
            if letter == "-" and letters.endswith("-") and not merged:
                owners[-1].add(owner)
                merged = True
                continue
            letters += letter
            owners.append({owner})
            merged = False
    return letters, owners


@dataclass(frozen=True)
class Calibration:
    """Does confidence mean what it says?

    Attributes:
        error: Expected calibration error: mean gap between confidence and accuracy over 15 equal intervals of
            confidence, by lines in them (Guo et al. 2017).
        chance: The error that perfect confidences would show on so few lines, on average.
        bins: Mean confidence, accuracy and size of equally filled bins.
        area: Area under the risk-coverage curve: mean error share among the most confident lines, over all shares.
        accept: For each error target, the least confidence to accept and the share of lines accepted.
    """

    error: float
    chance: float
    bins: list[tuple[float, float, int]]
    area: float
    accept: list[tuple[float, float, float]]


def calibrate(confidences: Sequence[float], right: Sequence[bool]) -> Calibration:
    """Compare confidences with what was right."""
    order = np.argsort(-np.array(confidences, np.float64), kind="stable")
    certainty, correct = np.array(confidences, np.float64)[order], np.array(right, np.float64)[order]
    if not len(order):
        return Calibration(0.0, 0.0, [], 0.0, [])
    parts = [part for part in np.array_split(np.arange(len(order)), _BINS) if len(part)]
    bins = [(float(certainty[p].mean()), float(correct[p].mean()), len(p)) for p in parts]
    rng = np.random.default_rng(0)
    chance = float(np.mean([_calibration_error(certainty, rng.random(len(order)) < certainty) for _ in range(_DRAWS)]))
    _, group = np.unique(-certainty, return_inverse=True)
    wrong = 1 - (np.bincount(group, weights=correct) / np.bincount(group))[group]  # whatever the order of equal ones
    risk = np.cumsum(wrong) / np.arange(1, len(order) + 1)
    accept = [_accept(certainty, risk, target) for target in (0.005, 0.01, 0.02, 0.05)]
    return Calibration(_calibration_error(certainty, correct), chance, bins, float(risk.mean()), accept)


def _calibration_error(confidences: Floats, right: npt.NDArray[Any]) -> float:
    interval = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
    return float(np.abs(np.bincount(interval, weights=confidences - right)).sum() / len(confidences))


def _accept(certainty: Floats, risk: Floats, target: float) -> tuple[float, float, float]:
    """Error target, least confidence, share accepted: the most lines whose joint error stays within the target.

    Lines of equal confidence are accepted together.
    """
    within = np.flatnonzero((risk <= target) & np.append(np.diff(certainty) != 0, True))
    if not len(within):
        return target, 1.0, 0.0
    last = int(within[-1])
    return target, float(certainty[last]), (last + 1) / len(certainty)
