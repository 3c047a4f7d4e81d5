"""Boxes of characters against rendered lines, where the truth is known."""

from random import Random

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw, ImageFont

from ocrformer import DecodeOptions, OCRformer
from ocrformer.boxes import character_boxes
from ocrformer.cli import main
from ocrformer.config import MODES
from ocrformer.datasets import load_samples
from ocrformer.image import PAPER, prepare
from tests.conftest import ROOT, tiny_bundle

FONTS = (None, "DejaVuSans.ttf", "DejaVuSerif.ttf", "LiberationSans-Regular.ttf", "LiberationMono-Regular.ttf")
"""Pillow's own, and those that are installed."""


def fonts(size):
    for name in FONTS:
        try:
            yield (
                ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)
                if name
                else ImageFont.load_default(size)
            )
        except OSError:
            continue


def rendered(text, font, margin=6):
    """A picture of a line and the ink box of each character."""
    picture = Image.new("L", (int(font.getlength(text)) + 2 * margin, int(font.size * 1.3) + 2 * margin), 255)
    ImageDraw.Draw(picture).text((margin, margin), text, font=font, fill=0)
    boxes = []
    for index, character in enumerate(text):
        left = margin + font.getlength(text[: index + 1]) - font.getlength(character)  # kerning is before it
        ink = font.getbbox(character)
        boxes.append((left + ink[0], margin + ink[1], left + ink[2], margin + ink[3]))
    return picture, boxes


def overlap(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    return both / (area(one) + area(other) - both)


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


@pytest.fixture(scope="module")
def found():
    """(box found, true box) of every character of lines that were read right."""
    rng = Random(0)
    words = " ".join(sample.text for sample in load_samples(ROOT / "samples") if sample.text.isascii()).split()
    texts = [" ".join(rng.sample(words, rng.randint(1, 6))) for _ in range(40)]
    lines = [rendered(text, rng.choice(list(fonts(rng.choice((20, 28, 40)))))) for text in texts]
    reader = OCRformer.from_pretrained(device="cpu")
    read = reader.read([picture for picture, _ in lines], DecodeOptions(boxes=True))
    pairs = []
    for text, (picture, truth), line in zip(texts, lines, read, strict=True):
        width, height = picture.size
        if line.text == text:
            own = [(c.box[0] * width, c.box[1] * height, c.box[2] * width, c.box[3] * height) for c in line.characters]
            pairs += [(o, t) for o, t, character in zip(own, truth, text, strict=True) if character != " "]
    assert len(pairs) > 400
    return pairs


def test_boxes_cover_the_characters(found):
    assert np.mean([overlap(own, truth) for own, truth in found]) >= 0.7


def test_middles_are_inside_the_characters(found):
    inside = [t[0] <= (o[0] + o[2]) / 2 <= t[2] and t[1] <= (o[1] + o[3]) / 2 <= t[3] for o, t in found]
    assert np.mean(inside) >= 0.98


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_without_text_has_no_boxes(mode):
    reader = OCRformer.from_pretrained(device="cpu")
    pictures = [np.full(shape, 255, np.uint8) for shape in ((1, 1), (32, 300), (40, 3))]
    lines = reader.read(pictures, DecodeOptions(mode=mode, boxes=True))
    assert [(line.text, line.characters, line.status) for line in lines] == [("", (), "empty")] * 3


@pytest.mark.parametrize("form", ["json", "hocr", "alto", "page"])
def test_every_format_takes_a_picture_without_text(tmp_path, form):
    Image.new("L", (200, 30), 255).save(tmp_path / "blank.png")
    result = CliRunner().invoke(main, ["read", "--characters", "--format", form, str(tmp_path / "blank.png")])
    assert result.exit_code == 0, result.output
    assert "blank.png" in result.output


def test_boxes_of_a_picture_narrower_than_the_network_takes():
    """Shares are of the picture as it was given."""
    reader = OCRformer(tiny_bundle(seed=2))
    pixels = np.full((32, 12), 255, np.uint8)
    pixels[6:26, 1:11] = 0
    line = prepare(pixels, 32)
    (box,) = character_boxes(line, ["1"], np.array([line.shape[1] / 2]))
    assert box.left * 12 < 2.5 and box.right * 12 > 9.5
    (read,) = reader.read([pixels], DecodeOptions(boxes=True))
    assert all(0 <= c.box.left < c.box.right <= 1 for c in read.characters)


def test_boxes_of_a_loosely_cut_line_are_shares_of_the_whole_picture():
    picture = Image.new("L", (420, 100), 250)
    ImageDraw.Draw(picture).text((8, 40), "A line of print, cut out loosely", fill=20, font_size=20)
    ink = np.flatnonzero((np.asarray(picture) < 128).any(axis=1))
    (line,) = OCRformer.from_pretrained().read([picture], DecodeOptions(boxes=True))
    assert line.text == "A line of print, cut out loosely"
    boxes = [character.box for character in line.characters if character.text != " "]
    assert abs(min(box.top for box in boxes) * 100 - ink[0]) < 2.5
    assert abs(max(box.bottom for box in boxes) * 100 - ink[-1] - 1) < 2.5


def beside(ends):
    """A line with wide margins, in which something is drawn that belongs to no character; found and true boxes."""
    text = "Total amount 1,234.50 due"
    picture, truth = rendered(text, ImageFont.load_default(30), margin=60)
    picture = picture.crop((0, 48, picture.width, picture.height - 48))
    truth = [(left, top - 48, right, bottom - 48) for left, top, right, bottom in truth]
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    things = {
        "edge": lambda: pen.rectangle((0, 0, 8, height), fill=0),
        "other edge": lambda: pen.rectangle((width - 9, 0, width, height), fill=0),
        "rule": lambda: pen.line((30, 0, 30, height), fill=0, width=2),
        "speck": lambda: pen.ellipse((6, 30, 9, 33), fill=0),
        "underline": lambda: pen.line((60, height - 10, width - 60, height - 10), fill=0, width=2),
        "frame": lambda: pen.rectangle((4, 2, width - 5, height - 3), outline=0, width=2),
    }
    things[ends]()
    (line,) = OCRformer.from_pretrained(device="cpu").read([picture], DecodeOptions(boxes=True))
    assert line.text == text
    own = [np.array(character.box) * [width, height, width, height] for character in line.characters]
    return own, truth, text


@pytest.mark.parametrize("thing", ["edge", "other edge", "rule", "speck", "underline", "frame"])
def test_what_is_beside_a_character_is_not_in_its_box(thing):
    own, truth, text = beside(thing)
    for found, true, character in zip(own, truth, text, strict=True):
        if character.isalnum():
            assert overlap(found, true) > 0.5, character


def test_a_space_takes_what_its_neighbours_leave():
    line = np.full((32, 200), PAPER, np.uint8)
    line[8:24, 10:20] = line[8:24, 150:160] = 255
    one, space, other = character_boxes(line, ["I", " ", "I"], np.array([15.0, 40.0, 155.0]))
    assert (one.right, other.left) == (space.left, space.right) == (20 / 200, 150 / 200)


def test_a_syllable_is_not_cut_within():
    """The gap between consonant and vowel of 사 is empty, the one to the next syllable grey."""
    line = np.full((32, 64), PAPER, np.uint8)
    line[6:26, 4:14] = line[6:26, 17:20] = 255  # consonant and vowel
    line[6:26, 23:40] = 255  # the next syllable
    line[10:12, 20:23] = PAPER + 26
    first, second = character_boxes(line, ["사", "람"], np.array([12.0, 31.0]))
    assert 19 <= first.right * 64 <= 23 and second.right * 64 == 40


def test_a_narrow_letter_whose_middle_comes_late_has_its_ink():
    line = np.full((32, 64), PAPER, np.uint8)
    line[6:26, 4:14] = line[6:26, 17:19] = line[12:26, 24:34] = 255
    _, middle, _ = character_boxes(line, ["h", "i", "n"], np.array([14.0, 23.0, 29.0]))
    assert (middle.left * 64, middle.right * 64) == (17, 19)


def test_boxes_are_within_the_line():
    rng = np.random.default_rng(0)
    for _ in range(200):
        line = rng.choice(np.array([PAPER, 255], np.uint8), (32, int(rng.integers(1, 60))))
        texts = rng.choice(["a", " "], int(rng.integers(1, 9))).tolist()
        middles = np.sort(rng.uniform(-3, line.shape[1] + 3, len(texts)))
        for box in character_boxes(line, texts, middles):
            assert 0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1
