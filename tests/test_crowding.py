"""Lines whose characters are closer together than the network's columns tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ocrformer import DecodeOptions, OCRformer
from ocrformer.crowding import widened
from ocrformer.datasets import Sample, load_samples
from ocrformer.image import Pixels
from ocrformer.line import Line
from ocrformer.metrics import score
from tests.conftest import ROOT


def squeezed(reader: OCRformer, share: float) -> tuple[list[Sample], list[Pixels]]:
    samples = load_samples(ROOT / "samples")
    lines = [Image.fromarray(reader.prepare(sample.name)) for sample in samples]
    return samples, [np.asarray(line.resize((round(line.width * share), line.height))) for line in lines]


def test_only_crowded_lines_are_widened_and_not_by_much():
    line = np.zeros((32, 400), np.uint8)
    assert widened(line, []) is None and widened(line, "x" * 40) is None
    wider = widened(line, "x" * 50)
    assert wider is not None and wider.shape == (32, round(50 * 2.2 * 1.25 * 4))
    most = widened(line, "x" * 300)
    assert most is not None and most.shape == (32, 640)


def test_syllables_need_more_room_than_letters():
    line = np.zeros((32, 400), np.uint8)
    assert widened(line, "e" * 30) is None and widened(line, "가" * 20) is None
    assert widened(line, "가" * 30) is not None


@pytest.fixture(scope="module")
def shipped() -> OCRformer:
    return OCRformer.from_pretrained(device="cpu")


def test_narrow_print_is_read_better_for_it(shipped: OCRformer, monkeypatch: pytest.MonkeyPatch):
    samples, lines = squeezed(shipped, 0.5)
    texts = [sample.text for sample in samples]

    def error() -> float:
        return score(texts, [line.text for line in shipped.read_prepared(lines)]).cer

    again = error()
    monkeypatch.setattr("ocrformer.reader.widened", lambda _line, _texts: None)
    assert again < 0.8 * error()


def test_lines_read_again_keep_their_order_their_boxes_and_their_text_alone(shipped: OCRformer):
    _, narrow = squeezed(shipped, 0.5)
    _, usual = squeezed(shipped, 1.0)
    lines = [line for pair in zip(narrow, usual, strict=True) for line in pair]
    options = DecodeOptions(boxes=True)
    together = shipped.read_prepared(lines, options)
    alone: list[Line] = [shipped.read_prepared([line], options)[0] for line in lines]
    assert together == alone
    for line in together:
        lefts = [character.box.left for character in line.characters if character.box]
        assert lefts == sorted(lefts) and lefts[0] < 0.2 and lefts[-1] > 0.8


def test_attention_is_shown_for_the_line_as_it_was_read(shipped: OCRformer):
    _, lines = squeezed(shipped, 0.5)
    for line in lines:
        shown = shipped.attend_prepared(line)
        assert "".join(shown.characters) == shipped.read_prepared([line])[0].text
