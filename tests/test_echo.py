"""Batches that are used several times, and lines that look otherwise each time."""

from itertools import islice

import pytest
import torch

from ocrformer.image import PAPER
from ocrformer.training.batches import LabelledBatch
from ocrformer.training.echo import Echo, warped


def batches():
    for number in range(100):
        yield LabelledBatch(*(torch.full((1,), number) for _ in LabelledBatch._fields))


def numbers(times, seed=3):
    return [int(batch.images[0]) for batch in islice(Echo(batches(), times, seed), 60)]


def test_every_new_batch_comes_once_and_older_ones_between():
    order = numbers(3)
    assert order[::3] == list(range(20))
    for place, number in enumerate(order):
        assert number <= place // 3
    assert len(set(order[1::3])) > 5
    assert order == numbers(3)
    assert order != numbers(3, seed=4)


@pytest.fixture
def lines():
    """Two lines of bars, 120 and 90 pixels wide in pictures of 128."""
    images = torch.full((2, 1, 32, 128), PAPER, dtype=torch.uint8)
    widths = torch.tensor([120, 90])
    for image, width in zip(images, widths, strict=True):
        for left in range(4, int(width) - 8, 12):
            image[0, 6:26, left : left + 5] = 255
    return images, widths


def test_lines_change_a_little_and_padding_stays_empty(lines):
    images, widths = lines
    changed = warped(images, widths, 1.0, 1)
    assert changed.dtype == torch.uint8
    assert changed.shape == images.shape
    for before, after, width in zip(images, changed, widths, strict=True):
        assert (after[..., width:] == PAPER).all()
        assert not torch.equal(after, before)
        ink = torch.stack((before.float(), after.float())).sub(PAPER).flatten(1)
        assert torch.corrcoef(ink)[0, 1] > 0.3
        assert 0.4 < ink[1].sum() / ink[0].sum() < 1.3


def test_what_changes_depends_on_the_seed_and_the_share(lines):
    assert torch.equal(warped(*lines, 1.0, 1), warped(*lines, 1.0, 1))
    assert not torch.equal(warped(*lines, 1.0, 1), warped(*lines, 1.0, 2))
    assert torch.equal(warped(*lines, 0.0, 1), lines[0])
    many = lines[0][:1].expand(400, -1, -1, -1)
    same = (warped(many, lines[1][:1].expand(400), 0.7, 1) == many).flatten(1).all(dim=1)
    assert 90 <= int(same.sum()) <= 150
