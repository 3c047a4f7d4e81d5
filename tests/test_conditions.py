"""Labelled lines made worse on purpose, by `ocrformer data distort`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ocrformer.cli import main
from ocrformer.datasets import load_samples
from ocrformer.levelling import course_of
from ocrformer.training.conditions import CONDITIONS
from tests.test_framing import running


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    folder = tmp_path / "lines"
    folder.mkdir()
    for index in range(3):
        running(0, 0).crop((0, 30, 1000, 95 + index)).save(folder / f"{index}.png")
    (folder / "labels.tsv").write_text("".join(f"{index}.png\tline {index}\n" for index in range(3)), "utf-8")
    return folder


def distort(lines: Path, output: Path, *options: str):
    return CliRunner().invoke(main, ["data", "distort", str(lines), "-o", str(output), *options])


def test_each_condition_gets_a_folder_of_labelled_lines(lines, tmp_path):
    result = distort(lines, tmp_path / "worse")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "worse").iterdir()} == set(CONDITIONS)
    for name in CONDITIONS:
        samples = load_samples(tmp_path / "worse" / name)
        assert [sample.text for sample in samples] == ["line 0", "line 1", "line 2"]
        assert f"{name}: 3 lines" in result.output


def test_conditions_do_what_they_are_called_and_nothing_at_random(lines, tmp_path):
    for folder in ("one", "other"):
        assert distort(lines, tmp_path / folder, "--lines", "1").exit_code == 0
    level = np.asarray(Image.open(lines / "0.png"))
    pictures = {name: load_samples(tmp_path / "one" / name)[0].open() for name in CONDITIONS}
    for name, picture in pictures.items():
        assert np.array_equal(picture, load_samples(tmp_path / "other" / name)[0].open())
        assert np.array_equal(picture, level) == (name == "plain"), name
    assert pictures["small"].shape[0] == 12 and pictures["faxed"].shape[0] == 20
    assert set(np.unique(pictures["dithered"])) == set(np.unique(pictures["faxed"])) == {0, 255}
    assert course_of(pictures["turned-2"]).fall > 0.12 and course_of(pictures["bowed"]).bow > 0.1
    assert pictures["shadow"][:, -50:].max() < 0.5 * pictures["shadow"][:, :50].max()
    assert abs(pictures["narrow"].shape[1] / level.shape[1] - 0.6) < 0.01


def test_as_many_lines_as_are_asked_for(lines, tmp_path):
    assert "plain: 2 lines" in distort(lines, tmp_path / "two", "--lines", "2").output


def test_nothing_is_written_over_and_bad_pictures_are_named(lines, tmp_path):
    assert distort(lines, tmp_path / "worse").exit_code == 0
    again = distort(lines, tmp_path / "worse")
    assert again.exit_code == 2 and "name another folder" in again.output
    (lines / "1.png").write_bytes(b"no picture")
    broken = distort(lines, tmp_path / "others")
    assert broken.exit_code == 1 and "1.png" in broken.output and "Traceback" not in broken.output
    assert [sample.text for sample in load_samples(tmp_path / "others" / "faxed")] == ["line 0", "line 2"]
    Image.new("L", (40_000, 100), 255).save(lines / "1.png")
    assert "too many to distort" in distort(lines, tmp_path / "large").output
    for path in lines.glob("*.png"):
        path.write_bytes(b"no picture")
    none = distort(lines, tmp_path / "none")
    assert none.exit_code == 2 and "none of its pictures" in none.output and not (tmp_path / "none").exists()


def test_a_file_in_place_of_the_folder_is_one_sentence(lines, tmp_path):
    (tmp_path / "file").write_text("of old")
    for target in ("file", "file/below"):
        refused = distort(lines, tmp_path / target)
        assert refused.exit_code == 2 and "Error: " in refused.output, refused.output
    assert (tmp_path / "file").read_text() == "of old"
