"""Lines that are read in several ways: crowded ones and those that were read unsurely."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrformer import DecodeOptions, OCRformer
from ocrformer.charset import Charset
from ocrformer.datasets import Sample, load_samples
from ocrformer.image import PAPER, Pixels
from ocrformer.line import Line
from ocrformer.metrics import score
from ocrformer.reading import Reading
from ocrformer.second_look import second_looks
from tests.conftest import ROOT


def squeezed(reader: OCRformer, share: float) -> tuple[list[Sample], list[Pixels]]:
    samples = load_samples(ROOT / "samples")
    lines = [Image.fromarray(reader.prepare(sample.name)) for sample in samples]
    return samples, [np.asarray(line.resize((round(line.width * share), line.height))) for line in lines]


def test_only_crowded_lines_are_widened_and_not_by_much():
    line = np.zeros((32, 400), np.uint8)
    assert second_looks(line, [], -9.0) == [] and second_looks(line, "x" * 40, 0.0) == []
    (wider,) = second_looks(line, "x" * 50, 0.0)
    assert wider.shape == (32, round(50 * 2.2 * 1.25 * 4))
    (widest,) = second_looks(line, "x" * 300, 0.0)
    assert widest.shape == (32, 640)


def test_syllables_need_more_room_than_letters():
    line = np.zeros((32, 400), np.uint8)
    assert second_looks(line, "e" * 30, 0.0) == [] and second_looks(line, "가" * 20, 0.0) == []
    assert len(second_looks(line, "가" * 30, 0.0)) == 1


def test_lines_in_doubt_are_softened_and_sharpened():
    line = np.full((32, 400), 128, np.uint8)
    line[:, ::2] = 180
    assert second_looks(line, "text", -0.05) == []
    softer, sharper = second_looks(line, "text", -0.5)
    assert softer.shape == (32, 340) and softer.std() < 0.5 * line.std()
    assert sharper.shape == (32, 400) and sharper.std() > 1.5 * line.std()


def test_crowded_lines_in_doubt_are_looked_at_in_every_way():
    assert len(second_looks(np.full((32, 400), 128, np.uint8), "text" * 13, -0.5)) == 3


def test_heavy_type_is_read_in_both_polarities(fonts):
    """Cut tightly it has as much ink as paper, and either may be taken for the other."""
    line = np.full((32, 100), PAPER, np.uint8)
    line[2:30, 3:97] = 255
    line[2:30, 40:70] = 1
    assert second_looks(line, [], 0.0) == []
    (turned,) = second_looks(line, "text", 0.0)
    assert (turned[2:30, 3:40] == PAPER).all() and (turned[2:30, 40:70] == 255).all()
    assert (turned[:2] == PAPER).all() and (turned[:, :3] == PAPER).all()


@pytest.mark.parametrize("dots", [20, 35])
@pytest.mark.parametrize("face", ["DejaVuSans.ttf", "DejaVuSerif.ttf"])
def test_leaders_smear_no_words(dots, face, fonts):
    """Fine dots between a title and its page: too many for the columns of the first look."""
    text, font = f"Wages Wages {'.' * dots} 195", ImageFont.truetype(str(fonts / face), 26)
    page = Image.new("L", (round(font.getlength(text)) + 12, 42), 255)
    ImageDraw.Draw(page).text((6, 6), text, fill=0, font=font)
    reader = OCRformer.from_pretrained(device="cpu")
    (once,), (line,) = (reader.read([page], DecodeOptions(second_look=look)) for look in (False, True))
    assert once.text.count(".") < dots - 3
    assert line.text.startswith("Wages Wages ..") and line.text.endswith(".. 195")
    assert abs(line.text.count(".") - dots) < 3


def test_doubt_is_counted_in_characters_not_in_the_ids_that_spell_them():
    charset = Charset.default()
    for text in ("가", "e"):
        ids = charset.encode(text)
        reading = Reading(ids, np.full(len(ids), -0.3 / len(ids), np.float32), np.zeros(len(ids), np.int64), ids)
        assert reading.sureness(len(charset.groups(ids))) == pytest.approx(-0.3)
    assert Reading([], np.zeros(1, np.float32), np.zeros(0, np.int64), []).sureness(0) == -np.inf


@pytest.fixture(scope="module")
def shipped() -> OCRformer:
    return OCRformer.from_pretrained(device="cpu")


def dotted(picture: Pixels) -> Pixels:
    """Black and white dots, as cheap scanners and faxes make them of grey."""
    screen = np.indices(picture.shape).sum(axis=0) % 2 * 90 + 80
    return np.where(picture > screen, 255, 0).astype(np.uint8)


@pytest.mark.parametrize(("share", "dots"), [(0.5, False), (1.0, True)])
def test_hard_lines_are_read_better_for_it(shipped: OCRformer, share: float, dots: bool):
    samples, lines = squeezed(shipped, share)
    lines = [dotted(line) if dots else line for line in lines]
    once, twice = (
        score([sample.text for sample in samples], [line.text for line in shipped.read_prepared(lines, options)]).cer
        for options in (DecodeOptions(second_look=False), DecodeOptions())
    )
    assert twice < 0.8 * once


def test_lines_read_again_keep_their_order_their_boxes_and_their_text_alone(shipped: OCRformer):
    _, narrow = squeezed(shipped, 0.5)
    _, usual = squeezed(shipped, 1.0)
    lines = [line for pair in zip(narrow, usual, strict=True) for line in pair]
    options = DecodeOptions(boxes=True)
    together = shipped.read_prepared(lines, options)
    alone: list[Line] = [shipped.read_prepared([line], options)[0] for line in lines]
    for line, single in zip(together, alone, strict=True):
        assert (line.text, line.status) == (single.text, single.status)
        assert [character.box for character in line.characters] == [character.box for character in single.characters]
        assert line.confidence == pytest.approx(single.confidence, abs=1e-3)
        lefts = [character.box.left for character in line.characters if character.box]
        assert lefts == sorted(lefts) and lefts[0] < 0.2 and lefts[-1] > 0.8


def test_attention_is_shown_for_the_line_as_it_was_read(shipped: OCRformer):
    _, lines = squeezed(shipped, 0.5)
    for line in lines:
        shown = shipped.attend_prepared(line)
        assert "".join(shown.characters) == shipped.read_prepared([line])[0].text


def test_a_line_that_is_read_wider_in_pieces_is_shown_as_it_was_at_first(shipped: OCRformer):
    _, lines = squeezed(shipped, 0.5)
    long = np.concatenate([line for line in lines if len(line) == 32], axis=1)[:, :1500]
    assert shipped.read_prepared([long])[0].text and shipped.attend_prepared(long).line.shape == (32, 1500)
