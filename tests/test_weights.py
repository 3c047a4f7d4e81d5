"""The weights that come with the package: what they must read, and what they must not invent."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from rapidfuzz.distance import Levenshtein

from ocrformer import DecodeOptions, OCRformer
from ocrformer.datasets import load_samples
from ocrformer.image import prepare
from ocrformer.metrics import score
from ocrformer.reader import weights_path
from tests.conftest import ROOT

MOST_MEGABYTES = 16
MOST_WRONG = 2
"""Wrong characters in all samples together."""
BARS = {"uw3-dev": 0.010, "unlv-dev": 0.005, "oldbooks-dev": 0.013, "sroie-dev": 0.050, "ko-book-dev": 0.035}
"""Highest character error rate (case-folded) on folders of real lines."""


@pytest.fixture(scope="module")
def reader():
    return OCRformer.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def samples():
    return load_samples(ROOT / "samples")


def test_weights_are_small_enough_to_ship():
    assert weights_path("default").stat().st_size <= MOST_MEGABYTES * 1e6


def test_the_samples_are_read_almost_without_error(reader, samples):
    lines = reader.read([ROOT / "samples" / sample.name for sample in samples])
    wrong = {s.name: (s.text, line.text) for s, line in zip(samples, lines, strict=True) if s.text != line.text}
    assert sum(Levenshtein.distance(*pair) for pair in wrong.values()) <= MOST_WRONG, wrong


def test_samples_read_alike_alone_and_together(reader, samples):
    paths = [ROOT / "samples" / sample.name for sample in samples]
    together = reader.read(paths)
    assert [reader.read([path])[0].text for path in paths] == [line.text for line in together]


def test_company_changes_no_reading_however_unsure(reader, samples):
    draw = np.random.default_rng(0)
    bad = []
    for sample in samples * 3:
        with Image.open(ROOT / "samples" / sample.name) as picture:
            grey = picture.convert("L")
        share = draw.uniform(0.25, 0.6)
        small = grey.resize((round(grey.width * share), round(grey.height * share)))
        bad.append(
            np.clip(np.asarray(small) + draw.normal(0, 25, (small.height, small.width)), 0, 255).astype(np.uint8)
        )
    together = reader.read(bad)
    assert min(line.confidence for line in together) < 0.01
    for picture, line in zip(bad, together, strict=True):
        (alone,) = reader.read([picture])
        assert (alone.text, alone.status) == (line.text, line.status)
        assert alone.confidence == pytest.approx(line.confidence, rel=1e-4, abs=1e-5)


def pictures_without_text():
    noise = np.random.default_rng(0)
    ruled = Image.new("L", (400, 48), 255)
    for y in (8, 24, 40):
        ImageDraw.Draw(ruled).line((0, y, 400, y), fill=0, width=2)
    return {
        "blank": Image.new("L", (300, 40), 255),
        "black": Image.new("L", (300, 40), 0),
        "grey": Image.new("L", (80, 30), 128),
        "noise": Image.fromarray(noise.integers(0, 256, (40, 320), dtype=np.uint8)),
        "faint noise": Image.fromarray(noise.integers(225, 256, (40, 320), dtype=np.uint8)),
        "ruled": ruled,
    }


@pytest.mark.parametrize("name", pictures_without_text())
def test_no_text_is_invented(reader, name):
    (line,) = reader.read([pictures_without_text()[name]])
    assert (line.text, line.status) == ("", "empty")


def test_a_line_of_150_characters_comes_out_whole(reader, fonts):
    text = (
        "The committee met on 14 March and again on 2 April to hear what the surveyors had found: "
        "forty bridges in want of repair, and a road under water at Ely."
    )
    assert len(text) > 150
    font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 23)
    picture = Image.new("L", (2000, 36), 255)
    assert 1700 < font.getlength(text) < 1980
    ImageDraw.Draw(picture).text((8, 3), text, fill=0, font=font)
    (line,) = reader.read([picture])
    assert Levenshtein.distance(line.text, text) <= 1, line.text


def test_drafts_equal_step_by_step_decoding(reader, samples, real_folder):
    pictures = [prepare(sample.open(), 32, sample.name) for sample in samples]
    if real_folder is not None:
        pictures += [prepare(s.open(), 32, s.name) for s in load_samples(real_folder / "sroie-dev")[:150]]
        pictures += [prepare(s.open(), 32, s.name) for s in load_samples(real_folder / "oldbooks-dev")[:25]]
    by_draft = reader.read_prepared(pictures, DecodeOptions(mode="draft"))
    step_by_step = reader.read_prepared(pictures, DecodeOptions(mode="greedy"))
    assert [line.text for line in by_draft] == [line.text for line in step_by_step]


@pytest.mark.parametrize("folder", BARS)
def test_error_rates_on_real_lines(reader, real_lines, folder):
    samples = load_samples(real_lines / folder)
    lines = reader.read_prepared([prepare(sample.open(), 32, sample.name) for sample in samples])
    assert score([s.text for s in samples], [line.text for line in lines]).cer <= BARS[folder]
