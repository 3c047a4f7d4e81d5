"""Synthetic lines: how they look, and that they depend on their key alone."""

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest

from ocrformer.config import OptionError
from ocrformer.image import PAPER, load, prepare
from ocrformer.training import degrade, ink, layouts, render
from ocrformer.training.batches import Buckets, StepSampler, to_batch
from ocrformer.training.data import SyntheticConfig
from ocrformer.training.lines import Key, LineFactory, Voice
from ocrformer.training.synth import line_factory, write_lines

LAYOUTS = [layouts.DOCUMENT, layouts.RECEIPT, layouts.SCREEN]
WEARS = [degrade.DOCUMENT, degrade.RECEIPT, degrade.SCREEN, degrade.PHOTO]


@pytest.fixture(scope="module")
def factory(source, faces):
    return LineFactory([Voice(1.0, source, faces)], 32)


# Pictures


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rendered_lines_hold_their_ink(faces, layout):
    rng = random.Random(4)
    for _ in range(60):
        renderer = render.Renderer(rng, rng.choice(faces), layout)
        mask = renderer.draw("Hamburg 123")
        assert mask.dtype == np.uint8
        assert 4 <= mask.shape[0] <= 200
        assert mask.max() > 100


def test_fit_cuts_text_to_a_width(faces):
    renderer = render.Renderer(random.Random(5), faces[0], layouts.DOCUMENT)
    words = "many words that do not fit at all " * 5
    cut = renderer.fit(words, 200)
    assert words.startswith(cut)
    assert renderer.length(cut) <= 200
    assert renderer.fit("i", 1) == "i"


@pytest.mark.parametrize("wear", WEARS)
def test_degradation_is_seeded_and_keeps_the_size(faces, wear):
    page = render.colour(
        random.Random(0),
        render.Renderer(random.Random(0), faces[0], layouts.DOCUMENT).draw("Some text"),
        layouts.DOCUMENT,
    )
    pictures = []
    for seed in range(30):
        once = degrade.degrade(page, wear, random.Random(seed))
        again = degrade.degrade(page, wear, random.Random(seed))
        assert np.array_equal(once, again)
        assert once.shape == page.shape and once.dtype == np.uint8
        pictures.append(once.tobytes())
    assert len(set(pictures)) > 8


def test_degradations_draw_independently():
    """Transforms that share one seed draw correlated values: then far too many lines come out untouched."""
    page = np.full((32, 200), 255, np.uint8)
    page[8:24, 20:180:7] = 0
    untouched = [
        np.array_equal(page, degrade.degrade(page, degrade.RECEIPT, random.Random(seed))) for seed in range(400)
    ]
    expected = 0.7 * 0.7 * 0.5 * 0.7 * 0.75 * 0.85 * 0.92 * 0.65  # product of the chances to skip each
    assert abs(np.mean(untouched) - expected) < 0.05


def test_likeness_tells_worn_from_spoilt(faces):
    rng = random.Random(6)
    page = render.colour(rng, render.Renderer(rng, faces[0], layouts.DOCUMENT).draw("Legible text"), layouts.DOCUMENT)
    noise = np.random.default_rng(0).integers(0, 256, page.shape).astype(np.uint8)
    assert ink.likeness(page, page) > 0.99
    assert abs(ink.likeness(page, noise)) < 0.5


def test_wear_that_spoils_the_text_beside_a_block_is_taken_back(factory, monkeypatch):
    def wiped(page, *_):  # the text is gone, the block is not
        return np.hstack([page[:, :30], np.full((20, 50), 200, np.uint8)])

    monkeypatch.setattr(degrade, "degrade", wiped)
    text = np.full((20, 50), 200, np.uint8)
    text[5:15, 5:45:6] = 150
    page = np.hstack([np.zeros((20, 30), np.uint8), text])
    assert ink.likeness(page, wiped(page)) > 0.9
    assert factory._worn(random.Random(0), page, degrade.DOCUMENT, slice(30, 80), whatever=False) is page


def test_thin_strokes_are_not_made_thinner():
    mask = np.zeros((20, 60), np.uint8)
    mask[5:15, 5:55:6] = 255  # a pixel wide
    mask[12:15, 2:5] = 255  # a full stop, which would stay
    for seed in range(30):
        kept = ink.embolden(random.Random(seed), mask)
        assert kept[5:11].max() > 128


def test_tight_crops_keep_flat_marks(faces):
    for seed in range(300):
        renderer = render.Renderer(random.Random(seed), faces[0], replace(layouts.DOCUMENT, tight=1.0, askew=0.0))
        mask = np.zeros((100, 60), np.uint8)
        mask[50:54, 20:40] = 255
        top, bottom, *_ = renderer._frame(mask)
        assert top <= 50 and bottom >= 54


def test_lines_drawn_in_pieces_are_not_cut_off(faces):
    """`AV` is narrower with kerning than its letters are, which are drawn one by one."""
    renderer = next(
        drawn
        for seed in range(20)
        if (drawn := render.Renderer(random.Random(seed), faces[0], layouts.CLEAN)).font.layout_engine
    )
    renderer.spacing = (0.01, 0.0)
    mask = renderer._ink("AVAVAVAVAVAVAVAVAVAVAVAV" * 4 + "I")
    columns = np.flatnonzero(mask.max(axis=0) > 60)
    assert columns[-1] < mask.shape[1] - 1


def test_a_lone_box_which_may_be_a_letter_is_not_taught_to_be_nothing():
    counts = set()
    for seed in range(600):
        for draw in (ink._boxes, ink._frame):
            mask = np.zeros((40, 44), np.uint8)
            draw(random.Random(seed), mask)
            _, kinds = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
            counts.add(0 if kinds is None else int((kinds[0][:, 3] >= 0).sum()))
    assert counts >= {0, 2} and 1 not in counts


def test_empty_pages_have_many_shapes():
    rng = random.Random(7)
    shapes = {ink.empty_page(rng, 8.0).shape for _ in range(30)}
    assert len(shapes) > 10


# Keys and batches


def test_a_line_depends_on_its_key_alone(factory):
    keys = [Key(1, step, slot, 256) for step in range(2) for slot in range(10)]
    forward = [factory(key) for key in keys]
    backward = [factory(key) for key in reversed(keys)][::-1]
    for (line, ids), (other, other_ids) in zip(forward, backward, strict=True):
        assert np.array_equal(line, other) and ids == other_ids
    assert len({line.tobytes() for line, _ in forward}) == len(keys)


@pytest.mark.parametrize("width", Buckets().widths)
def test_lines_fit_their_bucket_and_ctc(factory, width):
    for slot in range(15):
        line, ids = factory(Key(2, 0, slot, width))
        assert line.shape[0] == 32 and line.shape[1] <= width
        assert line.shape[1] >= 4 * len(ids)


def test_wide_buckets_hold_long_lines(factory):
    lengths = [len(factory(Key(3, 0, slot, 1536))[1]) for slot in range(20)]
    assert max(lengths) >= 100


def test_some_lines_are_empty(factory):
    empties = [line for line, ids in (factory(Key(4, 0, slot, 96)) for slot in range(400)) if not ids]
    assert 8 <= len(empties) <= 45


def test_batches_are_a_function_of_the_step():
    buckets = Buckets()

    def ranks(step, world):
        return [StepSampler(buckets, seed=9, start=0, rank=r, world=world).batch(step) for r in range(world)]

    for step in range(20):
        (whole,) = ranks(step, 1)
        assert len({key.width for key in whole}) == 1
        assert len(whole) * whole[0].width <= buckets.pixels
        halves = ranks(step, 2)
        assert halves[0][0].width == halves[1][0].width == whole[0].width
        assert not set(halves[0]) & set(halves[1])
    resumed = iter(StepSampler(buckets, seed=9, start=7, rank=0, world=1))
    assert next(resumed) == ranks(7, 1)[0]


def test_batch_tensors(factory):
    lines = [factory(Key(5, 0, slot, 128)) for slot in range(6)]
    batch = to_batch(lines)
    for row, (line, ids) in enumerate(lines):
        assert batch.lengths[row] == len(ids)
        assert batch.inputs[row, 0] == 1
        assert batch.inputs[row, 1 : len(ids) + 1].tolist() == ids
        assert batch.targets[row, : len(ids)].tolist() == ids
        assert batch.targets[row, len(ids)] == 2
        assert batch.widths[row] == line.shape[1]
        assert (batch.images[row, 0, :, line.shape[1] :] == PAPER).all()


def test_synth_writes_images_labels_and_a_sheet(fonts, tmp_path):
    assert write_lines(tmp_path / "out", SyntheticConfig([str(fonts)]), 12, width=300, seed=1) == 12
    rows = (tmp_path / "out" / "labels.tsv").read_text("utf-8").splitlines()
    assert len(rows) == 12
    assert (tmp_path / "out" / "sheet.png").stat().st_size > 1000
    assert all(prepare(load(tmp_path / "out" / row.split("\t")[0]), 32).shape[0] == 32 for row in rows)


def test_synth_writes_to_empty_folders_alone(fonts, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="not empty"):
        write_lines(tmp_path / "out", SyntheticConfig([str(fonts)]), 3)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.png"]


def test_synth_for_measuring_is_clean_and_of_unseen_families(fonts, faces, tmp_path):
    config = SyntheticConfig([str(fonts)])
    write_lines(tmp_path / "out", config, 8, width=300, seed=1, clean=True, unseen=True, kind="rare")
    for path in (tmp_path / "out").glob("[0-9].png"):
        picture = load(path)
        assert picture.min() < 40 and (picture == 255).mean() > 0.4  # paper without noise
    (_, book), *_ = line_factory(config, unseen=True).voices
    drawn = [book.draw(random.Random(seed)) for seed in range(40)]
    assert all(face.held_out for face in drawn) or not any(face.held_out for face in faces)


def test_a_block_beside_a_line_hides_nothing():
    page = np.full((20, 50), 200, np.uint8)
    for seed in range(20):
        edged, left = ink.edged(random.Random(seed), page)
        assert edged.shape[0] == 20 and 50 < edged.shape[1] <= 110
        assert np.array_equal(edged[:, left : left + 50], page)


def test_light_and_shadow_leave_print_a_quarter_of_its_contrast():
    dark, light = np.full((24, 300), 40, np.uint8), np.full((24, 300), 220, np.uint8)
    strengths = set()
    for seed in range(40):
        ink_, paper = (ink.shaded(random.Random(seed), page).astype(int) for page in (dark, light))
        assert (paper - ink_).min() >= 0.25 * (220 - 40) - 1
        assert np.ptp(paper) > 3 or (paper < 200).all()  # the whole line may lie in the shadow
        strengths.add(int(np.ptp(paper)) // 40)
    assert len(strengths) > 2


def test_lines_that_are_not_level_keep_their_ink(faces):
    rng = random.Random(4)
    renderer = render.Renderer(rng, faces[0], layouts.DOCUMENT)
    mask = renderer._ink("A line of text that runs across a photographed page")
    for _ in range(30):
        turned = ink.askew(rng, mask)
        assert turned.shape[0] == mask.shape[0] + 2 * (mask.shape[0] // 3) and turned.shape[1] == mask.shape[1]
        assert 0.6 < turned.sum() / mask.sum() < 1.6
        assert not turned[0].any() and not turned[-1].any()


def test_loose_crops_have_the_paper_that_was_drawn(faces):
    for seed in range(8):
        tall = render.Renderer(random.Random(seed), faces[0], layouts.CLEAN)
        tall.above, tall.below = 20, 30
        plain = render.Renderer(random.Random(seed), faces[0], layouts.CLEAN)
        plain.above, plain.below = 0, 0
        loose, close = tall.draw("Loose"), plain.draw("Loose")
        assert np.array_equal(loose[20:-30], close)
        assert tall.expected_height("Loose") == pytest.approx(plain.expected_height("Loose") + 50)


@pytest.mark.parametrize(
    "wrong", [{"widths": (12,), "shares": (1,)}, {"widths": (), "shares": ()}, {"widths": (64,), "shares": (0,)}]
)
def test_batches_that_no_line_can_fill_are_refused(wrong):
    with pytest.raises(OptionError):
        Buckets(**wrong)
