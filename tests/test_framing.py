"""Where the line is in its picture: loosely cut, tilted, bowed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ocrformer import DecodeOptions, OCRformer
from ocrformer.boxes import in_picture
from ocrformer.framing import framed, height_for
from ocrformer.image import PAPER, prepare, prepare_whole
from ocrformer.levelling import course_of
from ocrformer.line import Box, Line

TEXT = "A printed line that runs from the left to the right end"


def typed(above: int, below: int) -> Image.Image:
    """A line of print with so many rows of empty paper above and below it."""
    page = Image.new("L", (420, 24 + above + below), 250)
    ImageDraw.Draw(page).text((8, above + 4), "A line of print, cut out loosely, ABCDEFGHIJ", fill=20, font_size=16)
    return page


def test_loosely_cut_lines_come_to_their_usual_height():
    close, loose = np.asarray(typed(0, 0)), np.asarray(typed(30, 18))
    whole = prepare_whole(loose, 32)
    assert prepare_whole(close, 32).shape[0] == 32 < 64 < whole.shape[0]
    line = prepare(loose, 32)
    ink = np.flatnonzero((line > PAPER + 40).any(axis=1))
    assert line.shape == (32, whole.shape[1]) and 0.55 < (ink[-1] + 1 - ink[0]) / 32 < 0.8
    part, tops, _ = framed(whole, 32, PAPER)
    assert np.array_equal(part, line) and np.array_equal(whole[int(tops[0]) : int(tops[0]) + 32], line)
    assert len(set(tops)) == 1 and not framed(part, 32, PAPER).tops.any()


def test_paper_is_kept_where_it_may_mean_something():
    dirty = np.asarray(typed(30, 18)).copy()
    dirty[2, 100:104] = 0
    hyphen = np.full((40, 30), 255, np.uint8)
    hyphen[20:23, 8:18] = 0
    rule = np.full((400, 900), 255, np.uint8)
    rule[200:203] = 0
    leaders = np.full((100, 400), 255, np.uint8)
    leaders[50:54, ::8] = leaders[50:54, 1::8] = leaders[50:54, 2::8] = 0
    for picture in (dirty, hyphen, rule, leaders, np.full((40, 300), 255, np.uint8)):
        assert prepare_whole(picture, 32).shape[0] == 32


def test_loose_pictures_grow_within_bounds():
    for size in range(10, 200, 5):
        picture = np.full((200, 3000), 255, np.uint8)
        picture[100 - size // 2 : 100 + size // 2] = np.arange(3000) % 20 // 10 * 255
        assert 32 <= prepare_whole(picture, 32).shape[0] <= 32 / 0.04 / 1.5


def tight(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    """Text without a pixel of paper around it."""
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    page = Image.new("L", (right - left, bottom - top), 255)
    ImageDraw.Draw(page).text((-left, -top), text, fill=0, font=font)
    return page


def test_lines_without_any_paper_around_them_are_given_some(fonts):
    """Without it one in twenty is misread: `total` as `tota`."""
    words = ("total", "2024 Fax total", "7 total", "Berlin Total:", "EUR Berlin", "hill 12.50", "Wall March hill")
    faces = [ImageFont.truetype(str(fonts / f"DejaVu{face}.ttf"), 26) for face in ("Sans", "Serif", "SansMono")]
    texts, pictures = zip(*((text, tight(text, face)) for text in words for face in faces), strict=True)
    assert [line.text for line in OCRformer.from_pretrained(device="cpu").read(pictures)] == list(texts)


def test_added_paper_does_not_move_boxes():
    page = np.full((28, 100), 255, np.uint8)
    page[:, :3] = page[:, 40:43] = page[:, -3:] = 0
    page[12:14, 3:20] = page[12:14, 50:80] = 0
    whole = prepare_whole(page, 32)
    frame = framed(whole, 32, PAPER)
    assert (frame.rows.shape, frame.left, frame.tops[0]) == ((32, 106), 3, -2)
    assert (frame.rows[2:-2, 3:-3] == whole).all() and (frame.rows[:2] == PAPER).all() and whole.shape == (28, 100)
    box = in_picture(Box(43 / 106, 2 / 32, 46 / 106, 30 / 32), frame, *whole.shape)
    assert box == pytest.approx((0.40, 0, 0.43, 1))
    assert in_picture(Box(0, 0, 1, 1), frame, *whole.shape) == (0, 0, 1, 1)


@pytest.mark.parametrize("pattern", ["bars", "rules", "noise"])
def test_what_is_no_line_is_given_no_paper(pattern):
    across = np.arange(300) // 3 % 2 * 255
    pictures = {
        "bars": np.broadcast_to(across, (40, 300)),
        "rules": np.broadcast_to(np.arange(40)[:, None] // 4 % 2 * 255, (40, 300)),
        "noise": np.random.default_rng(1).integers(0, 256, (40, 300)),
    }
    assert prepare_whole(pictures[pattern].astype(np.uint8), 32).shape[0] == 32


@pytest.mark.parametrize("text", ["Total", "Page 7", "OK", "Meeting notes: 14 March, room B12"])
@pytest.mark.parametrize("height", [60, 140, 300])
def test_lines_in_tall_pictures_are_read(text, height):
    page = Image.new("L", (700, height), 255)
    ImageDraw.Draw(page).text((40, height // 2), text, fill=0, font_size=30, anchor="lm")
    (line,) = OCRformer.from_pretrained(device="cpu").read([page])
    assert line.text == text


def running(fall: float, bow: float, paper: int = 245, ink: int = 20) -> Image.Image:
    """A line of print whose course is known, in pixels; drawn character by character."""
    page = Image.new("L", (1000, 130), paper)
    draw, left = ImageDraw.Draw(page), 12.0
    for character in TEXT:
        x = left / 1000 - 0.5
        draw.text((left, 65 + fall * x + bow * (0.5 - 4 * x * x)), character, fill=ink, font_size=36, anchor="lm")
        left += draw.textlength(character, font_size=36)
    return page


@pytest.mark.parametrize(("fall", "bow"), [(30, 0), (-30, 0), (70, 0), (0, 30), (0, -30), (-40, 20)])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("width", [1000, 911])
def test_the_course_of_a_line_is_found(fall, bow, inverted, width):
    page = running(fall, bow, *((20, 245) if inverted else (245, 20))).crop((0, 0, width, 130))
    course = course_of(np.asarray(page))
    assert course is not None
    x = (np.arange(1000) + 0.5) / 1000 - 0.5
    away = 130 * course.depths(width) - (fall * x + bow * (0.5 - 4 * x * x))[:width]
    assert np.ptp(away[12:840]) < 5  # the columns with print


def test_level_lines_stay_as_they_are():
    level = np.asarray(running(0, 0).crop((0, 35, 1000, 95)))
    assert course_of(level) is None and course_of(level[:, :200]) is None
    resized = Image.fromarray(level).resize((533, 32), Image.Resampling.BILINEAR, reducing_gap=3.0)
    assert prepare_whole(level, 32).shape == np.asarray(resized).shape


def test_large_pictures_are_judged_by_fewer_rows():
    tilted = running(60, 0)
    large = np.asarray(tilted.resize((10_000, 1_300)))
    assert abs(height_for(large, 32) - height_for(np.asarray(tilted), 32)) <= 1


@pytest.mark.parametrize("size", [(1, 5), (1, 15), (2, 12), (3, 14), (3, 40)])
def test_pictures_of_few_pixels_have_no_course(size):
    assert course_of(np.full(size, 200, np.uint8)) is None
    assert prepare(np.full(size, 200, np.uint8), 32).shape[0] == 32


@pytest.mark.parametrize("pixels", ["blank", "noise", "rules"])
def test_what_is_no_line_has_no_course(pixels):
    pictures = {
        "blank": np.full((40, 600), 255, np.uint8),
        "noise": np.random.default_rng(1).integers(0, 256, (40, 600)).astype(np.uint8),
        "rules": np.repeat(np.arange(40, dtype=np.uint8)[:, None] // 4 % 2 * 255, 600, axis=1),
    }
    assert course_of(pictures[pixels]) is None


@pytest.mark.parametrize(("fall", "bow"), [(60, 0), (-60, 0), (0, 40)])
def test_lines_that_are_not_level_are_read_as_level_ones(fall, bow):
    reader = OCRformer.from_pretrained()
    (line,) = reader.read([running(fall, bow)], DecodeOptions(boxes=True))
    assert line.text == TEXT and line.status == "ok"
    prepared = prepare(np.asarray(running(fall, bow)), 32)
    ink = np.flatnonzero((prepared > PAPER + 60).any(axis=1))
    assert ink[-1] + 1 - ink[0] < 30
    assert right_boxes(line, np.asarray(running(fall, bow))) > 0.9


def right_boxes(line: Line, picture: np.ndarray) -> float:
    """Share of the boxes that hold what ink there is above and below them in the picture as it was given."""
    right = []
    for character in line.characters:
        if character.text != " ":
            box = character.box
            columns = picture[:, round(box.left * 1000) : round(box.right * 1000) + 1]
            ink = np.flatnonzero((columns < 128).any(axis=1))
            ends = (ink[0], ink[-1]) if ink.size else (0, 0)
            right.append(abs(box.top * 130 - ends[0]) < 8 and abs(box.bottom * 130 - ends[1]) < 8)
    return float(np.mean(right))


@pytest.mark.parametrize("degrees", [-2, -1, 1, 2])
@pytest.mark.parametrize("left", [20, 700])
def test_short_lines_in_wide_pictures_are_read_as_level_ones(left, degrees):
    """Their course leads out of the picture where there is no print any more."""
    page = Image.new("L", (1000, 60), 255)
    ImageDraw.Draw(page).text((left, 14), "TOTAL 14.35", fill=0, font_size=30)
    tilted = page.rotate(degrees, Image.Resampling.BICUBIC, center=(left + 85, 30), fillcolor=255)
    (line,) = OCRformer.from_pretrained(device="cpu").read([tilted])
    assert line.text == "TOTAL 14.35"
