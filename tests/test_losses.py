import itertools

import pytest
import torch

from ocrformer.charset import BLANK
from ocrformer.training.batches import LabelledBatch
from ocrformer.training.losses import aligned_columns, ctc_loss, drift, looking_loss


def batch_of(texts, widths):
    longest = max(map(len, texts))
    targets = torch.zeros(len(texts), longest + 1, dtype=torch.long)
    for row, text in enumerate(texts):
        targets[row, : len(text)] = torch.tensor(text, dtype=torch.long)
        targets[row, len(text)] = 2
    lengths = torch.tensor([len(text) for text in texts])
    images = torch.zeros(len(texts), 1, 32, max(widths), dtype=torch.uint8)
    return LabelledBatch(
        images, torch.tensor(widths), targets, targets, lengths, torch.zeros(len(texts), dtype=torch.bool)
    )


def best_path(log_probs, text):
    """The most probable path that spells a text, by trying all."""
    best, winner = -float("inf"), None
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if [k for k, _ in itertools.groupby(path) if k != BLANK] == text:
            score = sum(log_probs[t, k].item() for t, k in enumerate(path))
            if score > best:
                best, winner = score, path
    return winner


@pytest.mark.parametrize("texts", [([3], [4, 3]), ([3, 3], []), ([3, 4, 3], [4])])
def test_alignment_is_the_best_path(texts):
    torch.manual_seed(len(texts[0]))
    logits = torch.randn(2, 6, 5)
    batch = batch_of(texts, [24, 20])
    columns = aligned_columns(logits, batch)
    for row, (text, frames) in enumerate(zip(texts, (6, 5), strict=True)):
        if not text:
            continue
        path = best_path(logits[row, :frames].log_softmax(-1), list(text))
        starts = [t for t, k in enumerate(path) if k != BLANK and (t == 0 or path[t - 1] != k)]
        assert columns[row, : len(text)].tolist() == starts


def test_looking_loss_is_small_where_attention_is_right():
    batch = batch_of([[3, 4]], [80])
    aligned = torch.tensor([[5, 12]])
    right = torch.full((1, 2, 3, 40), 1e-6)
    first, last = right.clone(), right.clone()
    first[0, 0, 1, 5] = first[0, 0, 2, 20 + 12] = 1.0  # looks at the character just written, in either row
    last[0, 0, 0, 5] = last[0, 0, 1, 12] = 1.0  # looks at the character to write
    assert looking_loss([first, last], aligned, batch, rows=2) < 0.01
    assert looking_loss([last, first], aligned, batch, rows=2) > 2
    untaught = torch.cat((first[:, 1:], first[:, :1]), dim=1)
    assert looking_loss([untaught, last], aligned, batch, rows=2) > 2


def test_losses_ignore_padding_and_empty_lines():
    torch.manual_seed(0)
    logits = torch.randn(2, 10, 6)
    one = batch_of([[3, 4, 5], []], [40, 8])
    changed = logits.clone()
    changed[1, 2:] = 9.0
    assert torch.allclose(ctc_loss(logits, one), ctc_loss(changed, one))
    attention = torch.rand(2, 1, 4, 10).softmax(-1)
    loss = looking_loss([attention], aligned_columns(logits, one), one, rows=1)
    assert torch.isfinite(loss)


def test_drift_is_zero_without_change_and_counts_real_places_alone():
    before = torch.randn(2, 5, 7)
    real = torch.tensor([[True, True, False, False, False], [True] * 5])
    assert drift(before, before, real, torch.tensor(4)) == 0
    now = before.clone()
    now[0, 2:] = 0.0  # padding
    assert drift(now, before, real, torch.tensor(4)) == 0
    now[1, 3, 2] += 5.0
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=before[1, 3]), torch.distributions.Categorical(logits=now[1, 3])
    )
    assert torch.allclose(drift(now, before, real, torch.tensor(4)), expected / 4, atol=1e-5)
