"""Decoding on toy networks; `verify` must equal `greedy` whatever the draft."""

import itertools
import random
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ocrformer import ctc, decoding
from ocrformer.beam import beam
from ocrformer.charset import BLANK, EOS, SPECIALS, Charset
from ocrformer.decoding import Hypothesis
from ocrformer.model.decoder import Decoder
from ocrformer.recogniser import Recogniser, _Question, _side_by_side
from ocrformer.repeats import alike, recounted
from tests.conftest import TINY, tiny_bundle

VOCABULARY = 40
LIMIT = 24
TOLERANCE = 1e-3
"""Ids must be equal wherever the best two log-probabilities are further apart than this: matrix products over one
and over many positions round differently in float32, by about 1e-5 here."""


def toy(seed, batch=6):
    """A decoder with peaked logits and random memories; it writes various characters and ends at various lengths."""
    decoder, memory, mask = toy_parts(seed, batch)
    with torch.no_grad():
        return decoder, decoder.remember(memory, mask)


def toy_parts(seed, batch=6, tokens=20):
    """The same, with the memories as an encoder gives them."""
    torch.manual_seed(seed)
    decoder = Decoder(TINY, VOCABULARY).eval()
    with torch.no_grad():
        for layer in decoder.layers:  # what was read and written before outweighs the last character
            for attention in (layer.self_attention, layer.cross_attention):
                attention.query.weight *= 4
                attention.output.weight *= 8
            layer.feed_forward[0].weight *= 4
            layer.feed_forward[2].weight *= 8
        decoder.norm.weight *= 4
        decoder.embedding.weight[EOS] *= 1.5
    mask = torch.arange(tokens)[None] < torch.randint(4, tokens + 1, (batch, 1))
    return decoder, torch.randn(batch, tokens, 64) * 3, mask


class CountedCalls:
    """A decoder that counts its passes."""

    def __init__(self, decoder):
        self.decoder, self.count = decoder, 0
        self.new_caches = decoder.new_caches

    def __call__(self, *args, **kwargs):
        self.count += 1
        return self.decoder(*args, **kwargs)


def drafts_of(kind, truths, rng):
    alphabet = range(SPECIALS, VOCABULARY)
    match kind:
        case "right":
            return [list(t) for t in truths]
        case "empty":
            return [[] for _ in truths]
        case "truncated":
            return [t[: len(t) // 2] for t in truths]
        case "shuffled":
            return [rng.sample(t, len(t)) for t in truths]
        case "repeated":
            return [t + t for t in truths]
        case "random":
            return [rng.choices(alphabet, k=rng.randint(0, 2 * LIMIT)) for _ in truths]
        case "one wrong":
            return [[*t[:3], rng.choice(alphabet), *t[4:]] for t in truths]
        case "one missing":
            return [t[:3] + t[4:] for t in truths]
        case "one too many":
            return [[*t[:3], rng.choice(alphabet), *t[3:]] for t in truths]
    raise AssertionError(kind)


KINDS = ["right", "empty", "truncated", "shuffled", "repeated", "random", "one wrong", "one missing", "one too many"]


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_verified_drafts_equal_greedy_decoding(kind):
    rng = random.Random(0)
    lengths = set()
    for seed in range(8):
        decoder, memory = toy(seed)
        bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
        limits = [rng.randint(1, LIMIT) for _ in range(6)]
        reference = decoding.greedy(decoder, memory, limits, bias)
        drafts = drafts_of(kind, [r.ids for r in reference], rng)
        verified, scored = decoding.verify(decoder, memory, drafts, limits, bias)
        for row, (want, got) in enumerate(zip(reference, verified, strict=True)):
            lengths.add(len(want.ids))
            if want.ids != got.ids:
                assert margin_at_difference(decoder, memory, bias, row, want, got) < TOLERANCE
            else:
                assert np.allclose(want.log_probs, got.log_probs, atol=TOLERANCE)
        assert [s.ids for s in scored] == drafts
    assert len(lengths) > 3  # the toy networks end lines at different places


@pytest.mark.parametrize("kind", ["right", "one wrong", "shuffled"])
@torch.inference_mode()
def test_known_ends_are_believed_only_behind_what_is_right(kind):
    """With the log-probabilities of the true ends given, all texts are greedy's, and believed ends cost no look."""
    rng = random.Random(3)
    believed = 0
    for seed in range(6):
        decoder, memory = toy(seed)
        bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
        truths = decoding.greedy(decoder, memory, [LIMIT] * 6, bias)
        whole = [len(truth.log_probs) > len(truth.ids) for truth in truths]
        drafts = drafts_of(kind, [truth.ids for truth in truths], rng)
        counts = [rng.randint(0, len(draft)) if end else 0 for draft, end in zip(drafts, whole, strict=True)]
        tails = [np.full(count, 7.0, np.float32) for count in counts]
        verified, scored = decoding.verify(decoder, memory, drafts, [LIMIT] * 6, bias, tails=tails)
        for truth, got, draft, score, count in zip(truths, verified, drafts, scored, counts, strict=True):
            right = draft[: len(draft) + 1 - count] == truth.ids[: len(draft) + 1 - count]
            assert got.ids == (draft if right and count else truth.ids)
            assert len(got.log_probs) == len(got.ids) + (len(truth.log_probs) > len(truth.ids))
            assert len(score.log_probs) == len(draft) + 1 - count
            assert (got.log_probs == 7.0).sum() == (count if right else 0)
            believed += bool(right and count)
    assert believed or kind == "shuffled"


@torch.inference_mode()
def test_leads_are_over_the_second_best():
    decoder, memory = toy(4)
    bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
    truths = [h.ids for h in decoding.greedy(decoder, memory, [LIMIT] * 6, bias)]
    drafts = drafts_of("one wrong", truths, random.Random(1))
    verified, scored = decoding.verify(decoder, memory, drafts, [LIMIT] * 6, bias)
    for row, text in enumerate(verified):
        tokens = torch.tensor([[1, *text.ids]])
        logits = decoder(tokens, memory.select(torch.tensor([row])))[0] + bias
        top = logits[: len(text.log_probs)].log_softmax(-1).topk(2).values
        assert np.allclose(text.leads, (top[:, 0] - top[:, 1]).numpy(), atol=TOLERANCE)
    assert all(draft.leads is None for draft in scored)


@torch.inference_mode()
def test_lines_that_fall_behind_their_drafts_are_given_up():
    decoder, memory = toy(2)
    bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
    truths = decoding.greedy(decoder, memory, [LIMIT] * 6, bias)
    drafts = drafts_of("one wrong", [h.ids for h in truths], random.Random(1))
    _, scored = decoding.verify(decoder, memory, drafts, [LIMIT] * 6, bias)
    ahead = [truth.score - draft.score for truth, draft in zip(truths, scored, strict=True)]
    margins = [lead + (0.1 if row % 2 else -0.1) for row, lead in enumerate(ahead)]
    verified, _ = decoding.verify(decoder, memory, drafts, [LIMIT] * 6, bias, margins=margins)
    assert [text.ids for text in verified[::2]] == [truth.ids for truth in truths[::2]]
    assert [text.ids for text in verified[1::2]] == drafts[1::2]


@torch.inference_mode()
def test_drafts_with_words_missing_or_too_many_take_few_passes():
    decoder, memory = toy(2)
    bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
    truths = [h.ids for h in decoding.greedy(decoder, memory, [LIMIT] * 6, bias)]
    long = [truth for truth in truths if len(truth) >= 12]
    assert long
    for truth in long:
        passes = []
        row = torch.tensor([truths.index(truth)])
        for draft in (truth[:3] + truth[7:], [*truth[:3], 5, 6, 7, 8, *truth[3:]]):
            calls = CountedCalls(decoder)
            (verified,), _ = decoding.verify(calls, memory.select(row), [draft], [LIMIT], bias)
            assert verified.ids == truth
            passes.append(calls.count)
        assert max(passes) <= 10, passes


def margin_at_difference(decoder, memory, bias, row, one, other):
    place = next(i for i, (a, b) in enumerate(itertools.zip_longest(one.ids, other.ids)) if a != b)
    tokens = torch.tensor([[1, *one.ids[:place]]])
    logits = decoder(tokens, memory.select(torch.tensor([row])))[0, -1] + bias
    top = logits.log_softmax(-1).topk(2).values
    return float(top[0] - top[1])


@torch.inference_mode()
def test_scores_of_drafts_are_teacher_forced_log_probabilities():
    decoder, memory = toy(3)
    bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
    drafts = [[5, 6, 7]] * 6
    _, scored = decoding.verify(decoder, memory, drafts, [LIMIT] * 6, bias)
    logits = decoder(torch.tensor([[1, 5, 6, 7]] * 6), memory) + bias
    expected = logits.log_softmax(-1)[:, range(4), [5, 6, 7, EOS]]
    assert np.allclose(np.stack([s.log_probs for s in scored]), expected.numpy(), atol=1e-4)


@torch.inference_mode()
def test_decoding_always_ends():
    decoder, memory = toy(1)
    bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
    bias[EOS] = -torch.inf  # a decoder that never ends a line
    for hypothesis in decoding.greedy(decoder, memory, [7] * 6, bias):
        assert len(hypothesis.ids) == 7
    verified, _ = decoding.verify(decoder, memory, [[9] * 30] * 6, [7] * 6, bias)
    assert all(len(h.ids) == 7 for h in verified)


@torch.inference_mode()
def test_constraint_holds_for_every_search():
    allowed = [10, 11, 12]
    bias = decoding.constraint(VOCABULARY, allowed, of_ctc=False)
    found = [set[int]() for _ in range(3)]
    for seed in range(6):
        decoder, memory = toy(seed)
        verified, _ = decoding.verify(decoder, memory, [[5, 10]] * 6, [LIMIT] * 6, bias)
        stepwise = decoding.greedy(decoder, memory, [LIMIT] * 6, bias)
        searched = [beam(decoder, memory.select(torch.tensor([row])), LIMIT, bias) for row in range(6)]
        for ids, hypotheses in zip(found, (verified, stepwise, searched), strict=True):
            ids.update(*(hypothesis.ids for hypothesis in hypotheses))
    assert found == [set(allowed)] * 3


@torch.inference_mode()
def test_beam_of_one_is_greedy_and_wider_beams_score_no_worse():
    for seed in range(6):
        decoder, memory = toy(seed, batch=1)
        bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
        (reference,) = decoding.greedy(decoder, memory, [LIMIT], bias)
        narrow = beam(decoder, memory, LIMIT, bias, width=1)
        wide = beam(decoder, memory, LIMIT, bias, width=5)
        assert narrow.ids == reference.ids
        assert wide.score >= reference.score - 1e-4


def test_ctc_best_path_drops_blanks_and_repeats():
    path = [3, 3, BLANK, 3, 4, 4, BLANK, 5]
    log_probs = torch.full((1, 8, 6), -9.0)
    for t, token in enumerate(path):
        log_probs[0, t, token] = -0.1 * (t + 1)
    (read,) = ctc.best_paths(log_probs, torch.tensor([7]))
    assert read.ids == [3, 3, 4]  # the last frame is padding
    assert read.frames.tolist() == [0, 3, 4]


def brute_force(log_probs, target):
    """All paths that spell the target: log of the summed probability, and the best of them."""
    scores, best = [], (-np.inf, None)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        spelt = [k for k, _ in itertools.groupby(path) if k != BLANK]
        if spelt == target:
            scores.append(sum(log_probs[t, k] for t, k in enumerate(path)))
            best = max(best, (scores[-1], path))
    return np.logaddexp.reduce(scores), best[1]


@pytest.mark.parametrize("target", [[3], [3, 4], [3, 3], [4, 3, 4]])
def test_ctc_score_and_alignment_against_brute_force(target):
    torch.manual_seed(len(target))
    log_probs = torch.randn(1, 5, 5).log_softmax(-1)
    total, path = brute_force(log_probs[0].numpy(), target)
    assert ctc.score(log_probs, torch.tensor([5]), [target])[0] == pytest.approx(total, abs=1e-4)
    frames = ctc.align(log_probs[0].numpy(), target)
    starts = [t for t, k in enumerate(path) if k != BLANK and (t == 0 or path[t - 1] != k)]
    ends = [t for t, k in enumerate(path) if k != BLANK and (t == len(path) - 1 or path[t + 1] != k)]
    assert all(start <= frame <= end for start, frame, end in zip(starts, frames, ends, strict=True))


def test_alignment_of_text_that_does_not_fit_is_spread_out():
    frames = ctc.align(np.full((3, 6), -1.0, np.float32), [3, 4, 5, 3, 4])
    assert len(frames) == 5
    assert (np.diff(frames) >= 0).all()
    assert ctc.align(np.full((3, 6), -1.0, np.float32), []).size == 0


PATH = ctc.Path([3, 4, 5, 6], np.array([1, 4, 7, 10]), -1.0, np.full(4, -0.25, np.float32))


@pytest.mark.parametrize("ids", [[3, 4, 5, 6], [3, 7, 5, 6], [7, 4, 5, 6], [3, 4, 5, 7], [3, 4, 4, 5, 6], [3], [7, 8]])
def test_a_text_that_differs_in_places_keeps_the_frames_of_the_rest(ids):
    torch.manual_seed(1)
    log_probs = torch.randn(12, 10).log_softmax(-1)
    frames = ctc.realign(log_probs, PATH, ids)
    assert len(frames) == len(ids)
    assert (np.diff(frames) > 0).all()
    kept = [i for i in range(min(len(ids), 4)) if ids[: i + 1] == PATH.ids[: i + 1]]
    assert frames[kept].tolist() == PATH.frames[kept].tolist()


@pytest.mark.parametrize("ids", [[3, 4, 7, 8, 9, 3, 7, 5, 6], [3] * 12, [3, 4, 5, 6, 6, 6], []])
def test_a_text_without_room_between_what_it_shares_is_aligned_whole(ids):
    torch.manual_seed(1)
    log_probs = torch.randn(12, 10).log_softmax(-1)
    frames = ctc.realign(log_probs, PATH, ids)
    assert frames.tolist() == ctc.align(log_probs.numpy(), ids).tolist()


def test_what_a_text_has_instead_is_found_in_its_own_place():
    log_probs = torch.full((12, 10), -9.0)
    log_probs[:, BLANK] = -1.0
    log_probs[[5, 10], 7] = -0.1  # within the place of the 4 that it replaces, and beyond it
    assert ctc.realign(log_probs, PATH, [3, 7, 5, 6]).tolist() == [1, 5, 7, 10]


def test_joint_choice_weighs_both_heads():
    log_probs = torch.randn(2, 6, 8).log_softmax(-1)
    frames = torch.tensor([6, 6])
    spelt = ctc.score(log_probs, frames, [[3, 4], [3, 4]])
    other = ctc.score(log_probs, frames, [[5, 6], [5, 6]])
    for bonus, expected in ((100.0, [5, 6]), (-100.0, [3, 4])):
        gap = spelt[0] - other[0]
        texts = [Hypothesis([5, 6], np.array([gap + bonus], np.float32)), Hypothesis([7], np.zeros(1, np.float32))]
        drafts = [Hypothesis([3, 4], np.zeros(1, np.float32)), Hypothesis([7], np.zeros(1, np.float32))]
        paths = [ctc.Path([3, 4], np.arange(2), spelt[0], np.zeros(2)), ctc.Path([7], np.arange(1), -9.0, np.zeros(1))]
        chosen = decoding.choose(texts, drafts, paths, list(log_probs))
        assert chosen[0].ids == expected
        assert chosen[1].ids == [7]


def test_a_path_shares_its_score_out_by_doubt():
    log_probs = torch.full((1, 5, 6), -20.0)
    for frame, token in enumerate([3, BLANK, 4, BLANK, BLANK]):
        log_probs[0, frame, token] = 0.0
    log_probs[0, 2, 5] = -1.0  # the second character is in doubt
    (path,) = ctc.best_paths(log_probs.log_softmax(-1), torch.tensor([5]))
    assert path.ids == [3, 4] and path.frames.tolist() == [0, 2]
    assert path.score == pytest.approx(ctc.score(log_probs.log_softmax(-1), torch.tensor([5]), [[3, 4]])[0])
    assert path.log_probs.sum() == pytest.approx(path.score, rel=1e-4)
    assert path.log_probs[1] < 10 * path.log_probs[0] < 0


def test_an_empty_path_is_as_sure_as_its_blanks():
    (path,) = ctc.best_paths(torch.tensor([[[0.9, 0.1], [0.8, 0.2]]]).log(), torch.tensor([2]))
    assert path.ids == [] and np.exp(path.log_probs).tolist() == pytest.approx([0.72])


def hypothesis(ids):
    return Hypothesis(list(ids), -np.arange(1.0, len(ids) + 2, dtype=np.float32))


@pytest.mark.parametrize(
    ("text", "draft", "expected"),
    [
        ("xxxxxx", "xxXXxXxx", "xxxxxxxx"),  # the decoder's letters, CTC's count
        ("ab.......c", "ab.....c", "ab.....c"),
        ("book", "bok", "book"),  # short repeats are read like all else
        (". . . . . .", ". . . . .", ". . . . ."),
        ("to ha ha ha ha ha ha be", "to ha ha ha ha ha be", "to ha ha ha ha ha be"),
        ("no no no", "no no no no", "no no no"),
        ("=-=-=-=-=-=-=", "=-=-=-=-=-=-=-=-=", "=-=-=-=-=-=-=-=-="),
        ("axxxxxx", "bxxxxxxxx", "axxxxxx"),  # other differences: for the probabilities to decide
        ("", "xxxxx", ""),
        ("same", "same", "same"),
    ],
)
def test_long_repeats_are_counted_by_ctc(text, draft, expected):
    charset = Charset.default()
    told = recounted(hypothesis(charset.encode(text)), charset.encode(draft), alike(charset))
    assert charset.decode(told.ids) == expected
    assert len(told.log_probs) == len(expected) + 1
    assert told.log_probs[-1] == -len(text) - 1  # the end's


REPEATED = st.tuples(st.sampled_from(["a", "b", " ", "ab", "- ", "ab-"]), st.integers(1, 9), st.integers(1, 9))


@given(st.lists(REPEATED, max_size=5))
def test_recounting_changes_counts_alone(repeats):
    charset = Charset.default()
    ours, theirs = ("".join(unit * counts[which] for unit, *counts in repeats) for which in (0, 1))
    ids, draft = ([charset.characters.index(c) + SPECIALS for c in text] for text in (ours, theirs))
    told = recounted(hypothesis(ids), draft, alike(charset)).ids
    assert told in (ids, draft)
    assert recounted(hypothesis(told), draft, alike(charset)).ids == told


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_memories_side_by_side_are_whole(precision):
    """In bfloat16 tokens stay in their places, on which the last digits depend; in float32 padding goes."""
    nothing = ctc.Path([], np.zeros(0, np.int64), 0.0, np.zeros(0, np.float32))
    used = [[True, True, False, True, True, False], [True] * 70]  # the first line as two rows of two columns
    memories = [torch.randn(len(mask), 64).to(precision) for mask in used]
    asked = [
        _Question(number, nothing, torch.zeros(1, 5), memory, torch.tensor(mask))
        for number, (memory, mask) in enumerate(zip(memories, used, strict=True))
    ]
    together, masks = _side_by_side(asked)
    alone, mask = _side_by_side(asked[:1])
    assert together.shape == (2, 128, 64) and masks.sum(dim=1).tolist() == [4, 70] and mask.sum() == 4
    assert torch.equal(together[0, : alone.shape[1]], alone[0]) and torch.equal(masks[0, : alone.shape[1]], mask[0])
    assert torch.equal(together[0][masks[0]], memories[0][torch.tensor(used[0])])
    assert torch.equal(together[1, :70], memories[1])
    assert mask[0].tolist() == (used[0] if precision == torch.bfloat16 else [True] * 4)


@pytest.mark.parametrize("passes", [1, 16])
@pytest.mark.parametrize("together", [1, 6])
@torch.inference_mode()
def test_drafts_verified_by_a_hasty_judge_are_still_greedy(together, passes, monkeypatch):
    """`draft` where the processor has bfloat16: exact wherever the judge is not sure, whatever it made of the draft."""
    monkeypatch.setattr(decoding, "_MAX_PASSES", passes)
    rng = random.Random(7)
    corrected = 0
    for seed in range(8):
        decoder, seen, mask = toy_parts(seed)
        memory = decoder.remember(seen, mask)
        recogniser = Recogniser(tiny_bundle(seed=1), plain=True)
        hasty = deepcopy(decoder)
        hasty.norm.weight *= 1 + 0.02 * torch.randn(len(hasty.norm.weight))
        recogniser.frozen.decoder, recogniser._judge, recogniser.precision = decoder, hasty, torch.bfloat16
        bias = decoding.constraint(VOCABULARY, None, of_ctc=False)
        limits = [rng.randint(1, LIMIT) for _ in range(6)]
        truths = decoding.greedy(decoder, memory, limits, bias)
        hurried = decoding.greedy(hasty, memory, limits, bias)
        drafts = drafts_of(rng.choice(KINDS), [truth.ids for truth in truths], rng)
        for start in range(0, 6, together):
            rows = slice(start, start + together)
            read = recogniser._verified(seen[rows], mask[rows], drafts[rows], limits[rows], bias)
            assert [text.ids for text in read] == [truth.ids for truth in truths[rows]]
            assert all(len(a.log_probs) == len(b.log_probs) for a, b in zip(read, truths[rows], strict=True))
        corrected += sum(a.ids != b.ids for a, b in zip(hurried, truths, strict=True))
    assert corrected  # the judge alone would have written something else
