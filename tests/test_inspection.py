"""What `data check` finds, and how lines are divided for holding some out."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ocrformer.charset import Charset
from ocrformer.cli import main
from ocrformer.datasets import Sample, load_samples
from ocrformer.inspection import evenly, folds, frames_needed, inspect, split, summary
from ocrformer.model.network import save
from tests.conftest import tiny_bundle
from tests.pictures import picture


@pytest.fixture
def faulty(tmp_path):
    for index in range(30):
        picture(tmp_path / f"{index % 6:03d}_{index:03d}.png", 80 + index)
    picture(tmp_path / "twin1.png", 99, 50)
    picture(tmp_path / "twin2.png", 99, 50)
    picture(tmp_path / "narrow.png", 20)
    picture(tmp_path / "long.png", 3000)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    rows = [f"{index % 6:03d}_{index:03d}.png\tline {index}" for index in range(30)]
    rows += [
        "twin1.png\tone",
        "twin2.png\tother",
        "narrow.png\tfar too long for it",
        "long.png\tlong",
        "broken.png\tx",
        "000_000.png\t",
    ]
    (tmp_path / "labels.tsv").write_text("\n".join([*rows, "000_006.png\tγ ray"]) + "\n", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("labels", "sound"),
    [
        (["one", ""] * 5, True),
        (["", ""] * 5, False),
        (["one", "be\x07ll"] * 5, False),
        (["one", "long"] * 5, False),
        (["one"] * 9, False),
    ],
    ids=["sound", "blank", "control", "long", "few"],
)
def test_what_needs_mending_is_not_sound(labels, sound):
    widths = [3000 if label == "long" else 200 for label in labels]
    samples = [
        Sample(str(index), label, "", lambda width=width, index=index: np.full((32, width), 255 - index, np.uint8))
        for index, (label, width) in enumerate(zip(labels, widths, strict=True))
    ]
    found = inspect(samples, Charset.default(), 32)
    assert found.sound == sound
    assert any("'be\\x07ll'" in line for line in summary(found)) == bool(found.broken)


def test_pictures_of_other_shapes_are_others():
    shapes = ((10, 40), (20, 20))
    samples = [Sample(str(shape), "x", "", lambda shape=shape: np.full(shape, 255, np.uint8)) for shape in shapes]
    assert not inspect(samples, Charset.default(), 32).duplicates


def test_what_is_held_out_depends_on_no_spelling_of_the_path(tmp_path, monkeypatch):
    for index in range(20):
        picture(tmp_path / "lines" / f"{index}.png", 80)
        (tmp_path / "lines" / f"{index}.gt.txt").write_text("text")
    held = []
    for folder, place in ((tmp_path, "lines"), (tmp_path / "lines", ".")):
        monkeypatch.chdir(folder)
        samples = load_samples(place)
        held.append([Path(samples[index].name).name for index in split(samples)[1]])
    assert held[0] == held[1]


def test_inspection_finds_what_is_wrong(faulty):
    samples = load_samples(faulty)
    found = inspect(samples, Charset.default(), 32)
    assert len(found.unreadable) == 1 and "broken.png" in found.unreadable[0]
    assert [samples[i].name.rsplit("/")[-1] for i in found.cramped] == ["narrow.png"]
    assert {tuple(samples[i].text for i in group) for group in found.contradictory} >= {("one", "other")}
    assert found.unknown == {"γ": 1}
    assert len(found.empty) == 1
    assert [samples[i].name.rsplit("/")[-1] for i in found.long] == ["long.png"]
    assert not {*found.long, *found.cramped} & {*found.usable}
    assert not found.sound
    text = "\n".join(summary(found))
    for words in (
        "37 lines",
        "'γ' U+03B3 (1)",
        "too long for their picture: 1",
        "too long to learn from (cut them in two): 1\n",
        "long.png: 'long'",
        "unreadable pictures: 1",
    ):
        assert words in text


def test_a_document_on_both_sides_is_told_of(tmp_path):
    """One book can be divided by lines alone; what cannot be learnt from is not divided at all."""
    for index in range(24):
        picture(tmp_path / f"book_{index:02d}.png", 80 + index)
    rows = [f"book_{index:02d}.png\tline\n" for index in range(24)]
    (tmp_path / "labels.tsv").write_text("".join(rows))
    text = "\n".join(summary(inspect(load_samples(tmp_path), Charset.default(), 32)))
    assert "suggested split by line" in text and "22 to train, 2 to validate" in text
    for path in tmp_path.glob("book_*.png"):
        path.write_bytes(b"\x89PNG")
    text = "\n".join(summary(inspect(load_samples(tmp_path), Charset.default(), 32)))
    assert "that can be learnt from: 0, too few" in text and "and 14 more" in text and "to validate" not in text


def test_labels_of_several_lines_can_be_shown(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.jsonl").write_text('{"file": "a.png", "text": "two\\nlines"}\n')
    run = CliRunner().invoke(main, ["data", "check", str(tmp_path), "--sheet", str(tmp_path.parent / "sheet.png")])
    assert run.exit_code == 1 and (tmp_path.parent / "sheet.png").exists()  # a line is too few


def test_split_keeps_documents_together_and_is_stable(faulty):
    samples = load_samples(faulty)
    training, held = split(samples)
    assert sorted(training + held) == list(range(len(samples)))
    assert not {samples[i].document for i in training} & {samples[i].document for i in held}
    assert split(samples) == (training, held)
    assert len(held) >= 3


@pytest.mark.parametrize("name", "klmnop")
@pytest.mark.parametrize("sizes, held_out", [((2, 3, 95), 5), ((1, 98, 1), 10), ((45, 45, 10), 10), ((33, 33, 33), 33)])
def test_split_leaves_enough_to_learn_from(name, sizes, held_out):
    """Whatever the documents are called, and however large one of them is."""
    lines = [
        Sample(f"{name}{book}/{line}", "x", f"{name}{book}", Path) for book, n in enumerate(sizes) for line in range(n)
    ]
    training, held = split(lines)
    assert len(held) == held_out and sorted(training + held) == list(range(len(lines)))


def test_samples_can_be_sent_to_other_processes(faulty):
    for sample in load_samples(faulty)[:3]:
        assert pickle.loads(pickle.dumps(sample)).open().shape == sample.open().shape


def test_split_is_the_same_wherever_the_data_lie(tmp_path, monkeypatch):
    for place in ("here", "there/and/deep"):
        picture(tmp_path / place / "lines" / "a.png")
        rows = [f"{book}_{line}.png\tx\n" for book in range(20) for line in range(3)]
        (tmp_path / place / "lines" / "labels.tsv").write_text("".join(rows))
    monkeypatch.chdir(tmp_path / "here")
    assert split(load_samples("lines")) == split(load_samples(tmp_path / "there/and/deep/lines"))


def test_folds_are_about_equal_and_share_no_document(tmp_path):
    picture(tmp_path / "a.png")
    rows = [f"book{book}_{line:03d}.png\tx\n" for book in range(20) for line in range(3 + book)]
    (tmp_path / "labels.tsv").write_text("".join(rows))
    samples = load_samples(tmp_path)
    parts = folds(samples, 5)
    assert sorted(i for part in parts for i in part) == list(range(len(samples))) and len(parts) == 5
    assert max(map(len, parts)) - min(map(len, parts)) <= 10
    documents = [{samples[i].document for i in part} for part in parts]
    assert sum(map(len, documents)) == len(set.union(*documents)) == 20
    assert len(folds(samples[:3], 5)) == 3
    twice = [samples[0], samples[1], samples[0]]
    assert sorted(map(sorted, folds(twice, 5))) == [[0, 2], [1]]


@pytest.mark.parametrize("count", [0, 7, 10, 11, 19, 25])
def test_a_part_of_the_lines_is_from_all_over(count):
    everything = list(range(count))
    part = evenly(everything, 10)
    assert len(part) == min(10, count) and sorted(set(part)) == part
    assert max(np.diff([-1, *part, count]), default=0) <= -(-count // 10) + 1


def test_split_of_one_document_divides_its_lines(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("".join(f"book/{i:04d}.png\tx\n" for i in range(50)))
    training, held = split(load_samples(tmp_path))
    assert len(training) == 45 and len(held) == 5


def test_frames_needed_counts_blanks_between_equal_neighbours():
    assert frames_needed("aab", Charset.default()) == 4
    assert frames_needed("값", Charset.default()) == 3
    assert frames_needed("γγ", Charset.default()) == 3


def test_check_command(faulty, tmp_path):
    save(tmp_path / "w.safetensors", tiny_bundle())
    sheet = tmp_path / "sheet.png"
    arguments = ["data", "check", str(faulty), "--model", str(tmp_path / "w.safetensors"), "--sheet", str(sheet)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "suggested split by document" in result.output
    with Image.open(io.BytesIO(sheet.read_bytes())) as image:
        assert image.width == 1600
    assert CliRunner().invoke(main, ["data", "check", str(tmp_path / "none")]).exit_code == 2
