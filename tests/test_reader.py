"""The reader on a tiny random network: order, batches, modes, errors; real weights are tested in test_weights."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from ocrformer import DecodeOptions, ImageError, OCRformer, decoding
from ocrformer.batching import bunches, padded_width
from ocrformer.charset import CharsetError
from ocrformer.config import MODES
from ocrformer.model.network import WeightsError, save
from tests.conftest import writing_bundle


@pytest.fixture(scope="module")
def reader():
    return OCRformer(writing_bundle())


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for index in range(count):
        image = Image.new("L", (int(rng.integers(30, 400)), int(rng.integers(16, 50))), 255)
        ImageDraw.Draw(image).text((4, 4), f"line {index} " + "x" * int(rng.integers(1, 30)), fill=0)
        made.append(image)
    return made


def test_nothing_in_nothing_out(reader):
    assert reader.read([]) == []


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_reads_in_order_and_alike_in_any_batch(reader, mode):
    images = pictures(6 if mode == "beam" else 14)  # of random networks beams are many
    options = DecodeOptions(mode=mode)
    together = reader.read(images, options)
    assert len({line.text for line in together}) > 3
    assert [line.text for line in reader.read(images[::-1], options)] == [line.text for line in together][::-1]
    for image, line in zip(images, together, strict=True):
        (alone,) = reader.read([image], options)
        assert alone.text == line.text
        assert alone.confidence == pytest.approx(line.confidence, abs=1e-3)
        assert alone.status == line.status


def test_batch_size_never_changes_a_text(reader):
    images = pictures(10, seed=1)
    small = reader.read(images, DecodeOptions(batch_pixels=1))
    assert [line.text for line in small] == [line.text for line in reader.read(images)]


def test_the_decoder_is_asked_only_where_ctc_is_in_doubt(reader, monkeypatch):
    images = pictures(8)
    by_ctc = reader.read(images, DecodeOptions(mode="ctc"))
    scores = [sum(np.log(max(c.confidence, 1e-9)) for c in line.characters) for line in by_ctc]
    border = float(np.median(scores))
    monkeypatch.setattr("ocrformer.recogniser._SURE", border)
    monkeypatch.setattr("ocrformer.reader.second_looks", lambda *_: [])
    asked = []
    verify = decoding.verify
    monkeypatch.setattr(
        "ocrformer.decoding.verify", lambda *args, **options: asked.extend(args[2]) or verify(*args, **options)
    )
    lines = reader.read(images)
    assert len(asked) == sum(score < border for score in scores)
    for line, draft, score in zip(lines, by_ctc, scores, strict=True):
        if score > border:
            assert line == draft


def test_characters_spell_the_text(reader):
    for line in reader.read(pictures(6)):
        assert "".join(c.text for c in line.characters).split() == line.text.split()
        assert all(0 <= c.confidence <= 1 and c.box is None for c in line.characters)
        assert [word.text for word in line.words] == line.text.split()
        assert 0 <= line.confidence <= 1
        assert line.status in ("ok", "empty", "suspect")


def test_allowed_characters_are_a_constraint_not_a_filter(reader):
    for mode in MODES:
        lines = reader.read(pictures(5), DecodeOptions(mode=mode, allowed="0123456789 "))
        assert any(line.text for line in lines)
        for line in lines:
            assert set(line.text) <= set("0123456789 ")
            assert "".join(character.text for character in line.characters) == line.text
            assert (line.status == "empty") == (not line.text) or line.status == "suspect"


def test_one_array_is_not_many(reader):
    for one in (np.zeros((32, 90), np.uint8), np.zeros((32, 90, 1), np.uint8), Image.new("L", (90, 32)), None, "a.png"):
        with pytest.raises(TypeError, match=r"read\(\[picture\]\)"):
            reader.read(one)
    with pytest.raises(TypeError, match=r"DecodeOptions\(\.\.\.\), not dict"):
        reader.read([], {"mode": "ctc"})
    with pytest.raises(CharsetError, match="none at all"):
        reader.read(pictures(1), DecodeOptions(allowed=""))
    assert len(reader.read(np.full((2, 32, 90), 255, np.uint8))) == 2


def test_unknown_allowed_characters_are_an_error(reader):
    with pytest.raises(CharsetError, match="α"):
        reader.read(pictures(1), DecodeOptions(allowed="α"))


def test_a_bad_picture_is_one_sentence(reader, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.raises(ImageError, match=r"bad\.png"):
        reader.read([pictures(1)[0], bad])


def test_very_long_lines_are_read_in_pieces(reader):
    image = Image.new("L", (9000, 32), 255)
    ImageDraw.Draw(image).text((4, 4), "many words " * 120, fill=0)
    (line,) = reader.read([image], DecodeOptions(boxes=True))
    lefts = [c.box.left for c in line.characters]
    assert lefts == sorted(lefts)
    assert all(0 <= c.box.left < c.box.right <= 1 and 0 <= c.box.top < c.box.bottom <= 1 for c in line.characters)


def test_blank_pictures_do_not_fail(reader):
    for size in ((1, 1), (8, 8), (1500, 4), (4, 300)):
        reader.read([Image.new("L", size, 255)])


def test_weights_by_path(tmp_path, reader):
    path = tmp_path / "own.safetensors"
    save(path, reader.bundle)
    own = OCRformer.from_pretrained(path, "cpu")
    assert own.name == path.name and own.path == path
    with pytest.raises(WeightsError, match="no such weights file"):
        OCRformer.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_bunches_hold_every_line_once_and_keep_all_workers_busy(workers):
    widths = np.random.default_rng(1).integers(10, 900, 200).tolist()
    dealt = bunches([np.zeros((32, width), np.uint8) for width in widths], 4000, workers)
    assert len(dealt) % workers == 0
    assert sorted(index for bunch in dealt for _, indices in bunch for index in indices) == list(range(200))
    assert all(padded_width(widths[i]) == width for bunch in dealt for width, indices in bunch for i in indices)
    work = [sum(width * len(indices) for width, indices in bunch) for bunch in dealt]
    assert max(work) <= 4000 + 960 and max(work) - min(work) <= 2 * 960


@pytest.mark.parametrize("source", [b"x", bytearray(b"x"), memoryview(b"x"), io.BytesIO(b"x"), 5, None, np.array(5)])
def test_one_picture_or_nothing_is_no_list(reader, source):
    with pytest.raises(TypeError, match="takes a list of pictures"):
        reader.read(source)


def test_pages_are_read_as_they_are_given_out(reader, tmp_path):
    pages = pictures(3, seed=5)
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with Image.open(tmp_path / "pages.tif") as file:
        read = reader.read(ImageSequence.Iterator(file))
    assert [line.text for line in read] == [line.text for line in reader.read(pages)]


def test_one_opened_file_many_times(reader, tmp_path):
    pictures(1)[0].save(tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as file:
        assert len({line.text for line in reader.read([file] * 64)}) == 1
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-200])
    with Image.open(tmp_path / "cut.jpg") as file, pytest.raises(ImageError, match="damaged"):
        reader.read([file])


def test_prepared_lines_are_what_prepare_made(reader):
    line = reader.prepare(pictures(1)[0])
    (once,) = reader.read_prepared(iter([line]))
    assert once == reader.read_prepared([line])[0]
    for lines in (line, [line[:8]], [line[:, :0]], [line[:, :, None]], ["a.png"], [line / 255.0], [line > 128]):
        with pytest.raises(TypeError, match="prepare"):
            reader.read_prepared(lines)
    with pytest.raises(TypeError, match="prepare"):
        reader.attend_prepared("a.png")


@pytest.mark.parametrize("options", [{}, {"mode": "ctc"}, "ctc", 0])
def test_options_are_options(reader, options):
    with pytest.raises(TypeError, match="options are DecodeOptions"):
        reader.read(pictures(1), options)
    with pytest.raises(TypeError, match="options are DecodeOptions"):
        reader.attend(pictures(1)[0], options)
