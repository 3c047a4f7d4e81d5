import unicodedata

import numpy as np
import pytest

from ocrformer.metrics import (
    bootstrap,
    calibrate,
    compare,
    confusions,
    correct_characters,
    distances,
    fold,
    score,
    without_spaces,
)


def test_micro_average_over_characters():
    result = score(["ab", "abcdefgh"], ["xy", "abcdefgh"])
    assert result.cer == pytest.approx(2 / 10)
    assert result.exact == pytest.approx(0.5)
    assert result.lines == 2


def test_word_error_rate_and_ned():
    result = score(["one two three"], ["one too three four"])
    assert result.wer == pytest.approx(2 / 3)
    assert score(["ab", ""], ["ab", ""]).ned == 1
    assert score(["", ""], ["", ""]).f1 == 1  # blank pictures, read as such
    assert score(["", ""], ["", "x"]).f1 == score(["x"], [""]).f1 == 0
    assert score(["abcd"], ["ab"]).ned == pytest.approx(0.5)


def test_sroie_words_match_once_in_any_order():
    """The scorer of TrOCR: multiset intersection per line, summed over lines."""
    result = score(["a a b", "c d"], ["b a x", "d"])
    assert result.precision == pytest.approx(3 / 4)
    assert result.recall == pytest.approx(3 / 5)
    assert result.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)


def test_both_sides_are_normalised():
    assert score(["caf\u00e9  x"], ["cafe\u0301 x"], folded=False).cer == 0


def test_folding_forgives_case_quotes_and_dashes():
    assert fold("It’s “A”—b") == fold('IT\'S "a"-B')
    assert fold("\u2010\u2011 a") == fold("-- a")  # hyphens that the charset writes as one kind
    assert score(["Ab"], ["aB"], folded=False).cer == 1
    assert without_spaces("A b  c") == "abc"
    assert score([without_spaces("- - - -")], [without_spaces("- - -")], folded=False).cer == 1 / 4


def test_empty_references_count_insertions():
    assert score([""], ["abc"]).cer == 3
    assert score([], []).cer == 0


def test_bootstrap_interval_holds_the_rate_and_shrinks_with_data():
    rng = np.random.default_rng(0)
    edits, lengths = rng.binomial(20, 0.05, 4000).astype(float), np.full(4000, 20.0)
    low, high = bootstrap(edits, lengths)
    assert low < edits.sum() / lengths.sum() < high
    few_low, few_high = bootstrap(edits[:100], lengths[:100])
    assert few_high - few_low > 3 * (high - low)
    assert bootstrap(np.zeros(0), np.zeros(0)) == (0.0, 0.0)


def test_comparison_is_paired():
    rng = np.random.default_rng(1)
    lengths = np.full(500, 20.0)
    first = rng.integers(0, 4, 500).astype(float)
    better = np.maximum(first - (rng.random(500) < 0.3), 0)
    result = compare(first, better, lengths)
    assert result.difference < 0 and result.high < 0
    assert result.first_better == 0 and result.second_better > 50
    same = compare(first, first, lengths)
    assert (same.difference, same.low, same.high) == (0, 0, 0)


def test_confusions_name_substitutions_insertions_and_deletions():
    counts = confusions(["abc", "10", "x"], ["abd", "1O", "xy"])
    assert counts == {("c", "d"): 1, ("0", "O"): 1, ("", "y"): 1}
    assert confusions(["ab"], ["b"]) == {("a", ""): 1}


def test_which_characters_are_right():
    assert correct_characters("abc", "axc").tolist() == [True, False, True]
    assert correct_characters("abc", "abbc").sum() == 3
    assert correct_characters("abc", "ac").tolist() == [True, True]
    assert correct_characters("Μαΐου", "Μαΐου").all()  # a letter that case folding takes apart


@pytest.mark.parametrize(
    ("label", "written"),
    [("“Hi”  there", '"Hi" there'), ("No—no", "No--no"), ("Straße 5", "STRASSE 5"), ("가나다", "가나다"), ("...", "…")],
)
def test_characters_that_folding_forgives_are_right(label, written):
    assert correct_characters(unicodedata.normalize("NFD", label), written).all() and fold(label) == fold(written)
    assert correct_characters(label, f"{written}x").tolist() == [True] * len(written) + [False]


def test_one_character_may_be_several_letters():
    assert correct_characters("das", "daß").tolist() == [True, True, False]
    assert correct_characters("a+b", "a--b").tolist() == [True, False, False, True]


def test_calibration_of_honest_and_boastful_confidences():
    rng = np.random.default_rng(2)
    truth = rng.random(20_000)
    right = rng.random(20_000) < truth
    honest = calibrate(truth, right)
    assert honest.error < 0.01
    boastful = calibrate(np.sqrt(truth), right)
    assert boastful.error > 0.1 and boastful.chance < 0.01
    tied = [calibrate([1.0] * 4, right).area for right in ([True, True, False, False], [False, False, True, True])]
    assert tied[0] == tied[1]
    assert boastful.area == pytest.approx(honest.area)  # same order, same risk at every coverage
    for target, threshold, coverage in honest.accept:
        accepted = truth >= threshold
        assert accepted.mean() == pytest.approx(coverage)
        assert 1 - right[accepted].mean() <= target + 1e-9


def test_lines_of_equal_confidence_are_accepted_together():
    ((_, _, share), *_) = calibrate([0.99] * 100 + [0.5], [False, True] * 50 + [True]).accept
    assert share == 0
    (*_, (_, threshold, share)) = calibrate([0.99] * 99 + [0.5] * 2, [True] * 99 + [False] * 2).accept
    assert (threshold, share) == (0.5, 1)


def test_few_lines_miss_by_chance():
    rng = np.random.default_rng(3)
    truth = rng.random(100)
    errors = [calibrate(truth, rng.random(100) < truth).error for _ in range(200)]
    assert calibrate(truth, rng.random(100) < truth).chance == pytest.approx(np.mean(errors), rel=0.1)
    assert np.mean(errors) > 0.05


def test_calibration_of_nothing():
    assert calibrate([], []).error == 0
    assert calibrate([0.9], [False]).accept[0][2] == 0


def test_distances_per_line():
    edits, lengths = distances(["abc", ""], ["abd", "x"])
    assert edits.tolist() == [1, 1] and lengths.tolist() == [3, 0]
