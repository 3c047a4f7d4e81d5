"""Synthetic lines: what they say, how they look, that they depend on their key alone."""

import random
import string

import numpy as np
import pytest

from ocrformer.charset import Charset
from ocrformer.image import PAPER, prepare
from ocrformer.training import degrade, ink, phrases, render, text, values
from ocrformer.training import fonts as font_module
from ocrformer.training.batches import Buckets, StepSampler, to_batch
from ocrformer.training.fonts import FontBook, find_font_files, font_places, load_faces, open_font
from ocrformer.training.lines import Key, LineFactory, Voice
from ocrformer.training.synth import write_lines
from ocrformer.training.typeset import Style

CHARSET = Charset.default()
MIXTURES = [text.DOCUMENT, text.RECEIPT, text.SCREEN]
LAYOUTS = [render.DOCUMENT, render.RECEIPT, render.SCREEN]
WEARS = [degrade.DOCUMENT, degrade.RECEIPT, degrade.SCREEN, degrade.PHOTO]


@pytest.fixture(scope="module")
def source():
    return text.TextSource(CHARSET)


@pytest.fixture(scope="module")
def faces(fonts):
    return load_faces([fonts], CHARSET, exclude=["cmex", "cmsy", "cmmi"])  # mathematical symbols


@pytest.fixture(scope="module")
def factory(source, faces):
    return LineFactory([Voice(1.0, source, faces)], 32)


# Text


@pytest.mark.parametrize("mixture", MIXTURES)
def test_texts_are_normalised_readable_and_varied(source, mixture):
    rng = random.Random(0)
    drawn = [source.draw(rng, mixture, 30) for _ in range(400)]
    for written in drawn:
        assert not CHARSET.missing(written)
        assert CHARSET.decode(CHARSET.encode(written)) == written
    assert len(set(drawn)) > 300
    characters = set("".join(drawn))
    assert set(string.ascii_letters + string.digits) <= characters
    assert any(ord(c) > 127 for c in characters)


def test_long_texts_on_demand(source):
    rng = random.Random(1)
    lengths = [len(source.draw(rng, text.DOCUMENT, 150)) for _ in range(100)]
    assert sum(length >= 100 for length in lengths) > 70


def test_corpora_are_quoted_verbatim(tmp_path):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("zweifelsohne quirlig " * 500, "utf-8")
    source = text.TextSource(CHARSET, [corpus])
    rng = random.Random(2)
    drawn = [source.draw(rng, text.Mixture(1, 0, 0, 0), 40) for _ in range(50)]
    assert sum("zweifelsohne" in d.lower() or "quirlig" in d.lower() for d in drawn) > 30


def test_values_look_like_what_they_are():
    rng = random.Random(3)
    assert all(any(c.isdigit() for c in values.price(rng)) for _ in range(200))
    assert all(any(c.isdigit() for c in values.phone(rng)) for _ in range(200))
    assert any("O" in values.code(rng) for _ in range(300))
    repeats = [phrases.rare(rng, "abc") for _ in range(300)]
    assert any(len(set(r)) == 1 and len(r) > 8 for r in repeats)


# Fonts


def test_faces_have_the_glyphs_they_must_draw(faces):
    assert len({face.family for face in faces}) >= 3
    for face in faces:
        assert set(string.ascii_letters + string.digits) <= face.characters
        assert "\u3131" not in face.characters  # DejaVu has no Hangul
    assert not any("LastResort" in face.path for face in faces)  # a box for every character


def test_excluded_and_duplicate_fonts_are_left_out(fonts, tmp_path):
    twice = load_faces([fonts, fonts], CHARSET)
    assert len(twice) == len({(f.path, f.index) for f in twice})
    assert not [f for f in load_faces([fonts], CHARSET, exclude=["Mono"]) if "Mono" in f.path]
    copy = tmp_path / "copy.ttf"
    copy.write_bytes((fonts / "DejaVuSans.ttf").read_bytes())
    assert len(load_faces([fonts / "DejaVuSans.ttf", copy], CHARSET)) == 1


def test_missing_and_broken_fonts(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such font"):
        find_font_files([tmp_path / "none"])
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(ValueError, match="no usable font"):
        load_faces([tmp_path], CHARSET)
    assert font_places(["x"]) == ["x"]


def test_what_a_face_lacks_is_written_plainly(faces):
    face = faces[0]
    assert render.drawable("“a”『b』", face).replace("[", "").replace("]", "").strip('"“”') != ""
    assert "『" in face.characters or "『" not in render.drawable("『b』", face)
    assert render.drawable("가나", face) == ""


def test_families_are_drawn_fairly(faces):
    rng = random.Random(0)
    drawn = {FontBook(faces).draw(rng).family for _ in range(300)}
    assert drawn == {face.family for face in faces}


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
    renderer = render.Renderer(random.Random(5), faces[0], render.DOCUMENT)
    words = "many words that do not fit at all " * 5
    cut = renderer.fit(words, 200)
    assert words.startswith(cut)
    assert renderer.length(cut) <= 200
    assert renderer.fit("i", 1) == "i"


@pytest.mark.parametrize("wear", WEARS)
def test_degradation_is_seeded_and_keeps_the_size(faces, wear):
    page = render.colour(
        random.Random(0),
        render.Renderer(random.Random(0), faces[0], render.DOCUMENT).draw("Some text"),
        render.DOCUMENT,
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
    expected = 0.7 * 0.7 * 0.65 * 0.7 * 0.75 * 0.85 * 0.92 * 0.65  # product of the chances to skip each
    assert abs(np.mean(untouched) - expected) < 0.05


def test_likeness_tells_worn_from_spoilt(faces):
    rng = random.Random(6)
    page = render.colour(rng, render.Renderer(rng, faces[0], render.DOCUMENT).draw("Legible text"), render.DOCUMENT)
    noise = np.random.default_rng(0).integers(0, 256, page.shape).astype(np.uint8)
    assert ink.likeness(page, page) > 0.99
    assert abs(ink.likeness(page, noise)) < 0.5


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
    assert 1 <= len(empties) <= 25


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
    assert write_lines(tmp_path / "out", fonts=[str(fonts)], text=[], number=12, width=300, seed=1) == 12
    rows = (tmp_path / "out" / "labels.tsv").read_text("utf-8").splitlines()
    assert len(rows) == 12
    assert (tmp_path / "out" / "sheet.png").stat().st_size > 1000
    from ocrformer.image import load

    assert all(prepare(load(tmp_path / "out" / row.split("\t")[0]), 32).shape[0] == 32 for row in rows)


# Korean


@pytest.mark.parametrize("drawn", ["가각간", "가나다라마바사"])
def test_only_syllables_that_leave_ink_count(monkeypatch, drawn):
    """Fonts map syllables that they draw as an empty box."""
    monkeypatch.setattr(
        font_module, "_bitmap", lambda _, character: character.encode() if character in drawn else b"box"
    )
    assert font_module._drawn_syllables(None, "가각간갇갈", b"box") == "".join(c for c in "가각간갇갈" if c in drawn)
    monkeypatch.setattr(font_module, "_bitmap", lambda _, character: character.encode())
    assert font_module._drawn_syllables(None, "가각간갇갈", b"box") == "가각간갇갈"


def test_korean_texts_cover_rare_syllables_and_values():
    source = text.TextSource(CHARSET, language="ko")
    rng = random.Random(0)
    drawn = [source.draw(rng, mixture, 20) for mixture in MIXTURES for _ in range(300)]
    together = "".join(drawn)
    syllables = {c for c in together if "가" <= c <= "힣"}
    assert len(syllables) > 1000  # far more than the two or three hundred of common words
    assert "원" in together and "년" in together and "『" in together and "〉" in together
    assert any(c.isascii() and c.isalpha() for c in together)
    assert all(not CHARSET.missing(written) for written in drawn)


def test_small_capitals_are_spelled_as_capitals_of_the_charset(faces):
    charset = Charset.default()
    letters = "".join(c for c in charset.characters if c.isalpha() and c < "\u1100")
    font = open_font(faces[0].path, faces[0].index, 20, False)
    style = Style(font, emphasis=open_font(faces[0].path, faces[0].index, 15, False), capitals=True, span=(1, 2))
    assert style.spelled("Note Joseph and") == "Note JOSEPH and"
    assert [run.text for run in style.runs("Note Joseph and")] == ["Note ", "J", "OSEPH", " ", "and"]
    assert not charset.missing(Style(font, emphasis=font, capitals=True, span=(0, 1)).spelled(letters))


def test_thin_spaces_and_emphasis_leave_the_text_alone(faces):
    font, other = (open_font(faces[0].path, faces[0].index, size, False) for size in (20, 21))
    style = Style(font, emphasis=other, span=(1, 3), thin=4.0)
    text = "So: it is; who? 12:30 ; end!"
    assert style.spelled(text) == text == "".join(run.text for run in style.runs(text))
    assert {run.text: run.gap for run in style.runs(text)}[": "] == 4.0
    assert sum(run.font is other for run in style.runs(text)) == 2
