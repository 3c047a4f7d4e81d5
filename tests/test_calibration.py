"""Calibration: the fitted temperature is the true one, and the command changes confidences alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer import OCRformer
from ocrformer.calibration import CalibrationError, calibration_of, cross_fitted, fit_temperature
from ocrformer.cli import main
from ocrformer.model.network import save
from tests.conftest import tiny_bundle, writing_bundle


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("present", [1.0, 2.0])
def test_the_fitted_temperature_is_the_true_one(truth, present):
    draw = np.random.default_rng(0)
    scores = -draw.exponential(1.0, 8000)
    right = draw.random(8000) < np.exp(scores / truth)
    confidences = np.exp(scores / present)
    fitted = fit_temperature(confidences, right, present)
    assert fitted == pytest.approx(truth, rel=0.06)
    assert calibration_of([(confidences, right)], [fitted / present]).error < 0.02


def test_no_part_helps_to_fit_its_own_temperature():
    draw = np.random.default_rng(1)
    parts = []
    for truth in (1.0, 1.0, 4.0):
        scores = -draw.exponential(1.0, 4000)
        parts.append((np.exp(scores).tolist(), (draw.random(4000) < np.exp(scores / truth)).tolist()))
    first, second, odd = cross_fitted(parts)
    assert odd == pytest.approx(1.0, rel=0.08) and first > 1.3 and second > 1.3
    assert calibration_of(parts, [1.0, 1.0, 4.0]).error < 0.02 < calibration_of(parts, [first, second, odd]).error


def test_lines_of_one_kind_cannot_calibrate():
    with pytest.raises(CalibrationError, match="here 2 of 2 are read right"):
        fit_temperature([0.5, 0.6], [True, True])


def test_command_changes_confidences_alone(tmp_path):
    bundle = writing_bundle()
    save(tmp_path / "m.safetensors", bundle)
    folder = tmp_path / "lines"
    folder.mkdir()
    for index in range(60):
        picture = Image.new("L", (60 + 2 * index, 32), 255)
        ImageDraw.Draw(picture).text((4, 8), "x" * (3 + index // 5), fill=0)
        picture.save(folder / f"{index}.png")
    pictures = sorted(folder.glob("*.png"))
    before = OCRformer.from_pretrained(tmp_path / "m.safetensors", "cpu").read(pictures)
    labels = [line.text if index % 2 else "something else" for index, line in enumerate(before)]
    rows = [f"{path.name}\t{label}\n" for path, label in zip(pictures, labels, strict=True)]
    (folder / "labels.tsv").write_text("".join(rows), "utf-8")
    model, calibrated_model = str(tmp_path / "m.safetensors"), str(tmp_path / "c.safetensors")
    arguments = ["--model", model, "--data", str(folder), "-o", calibrated_model]
    result = CliRunner().invoke(main, ["calibrate", *arguments])
    assert result.exit_code == 0, result.output
    assert "fitted on 60 lines" in result.output
    calibrated = OCRformer.from_pretrained(tmp_path / "c.safetensors", "cpu")
    assert calibrated.temperature != 1.0
    assert calibrated.bundle.details["CER on lines"].endswith(" %")
    after = calibrated.read(pictures)
    assert [line.text for line in after] == [line.text for line in before]
    for one, other in zip(before, after, strict=True):
        assert other.confidence == pytest.approx(one.confidence ** (1 / calibrated.temperature), rel=1e-3, abs=1e-5)


def test_wrong_use_is_one_sentence(tmp_path):
    result = CliRunner().invoke(main, ["calibrate", "--data", str(tmp_path), "-o", str(tmp_path / "c.safetensors")])
    assert result.exit_code == 2 and "Traceback" not in result.output


def labelled(folder: Path, count: int, wrong: int) -> None:
    """Pictures in `folder`, of which the first so many are labelled with other text than the model reads."""
    folder.mkdir(parents=True)
    blank = Image.new("L", (90, 32), 255)
    text = OCRformer(tiny_bundle()).read([blank])[0].text
    rows = [f"{index}.png\t{text if index >= wrong else text + 'x'}\n" for index in range(count)]
    (folder / "labels.tsv").write_text("".join(rows), "utf-8")
    for index in range(count):
        blank.save(folder / f"{index}.png")


def test_folders_of_the_same_name_are_all_used_and_missing_pictures_tell(tmp_path):
    places = [tmp_path / "a" / "lines", tmp_path / "b" / "lines"]
    for place in places:
        labelled(place, 30, wrong=2)
    (places[1] / "3.png").unlink()
    save(tmp_path / "m.safetensors", replace(tiny_bundle(), details={"CER on other lines": "9 %"}))
    arguments = ["--model", str(tmp_path / "m.safetensors"), "-o", str(tmp_path / "c.safetensors")]
    result = CliRunner().invoke(main, ["calibrate", *arguments, "--data", str(places[0]), "--data", str(places[1])])
    assert result.exit_code == 1 and "3.png" in result.output and "fitted on 59 lines" in result.output
    details = OCRformer.from_pretrained(tmp_path / "c.safetensors", "cpu").bundle.details
    assert {key for key in details if key.startswith("CER")} == {f"CER on {place}" for place in places}


def test_errors_in_one_part_alone_leave_the_worth_open(tmp_path):
    labelled(tmp_path / "lines", 60, wrong=1)
    save(tmp_path / "m.safetensors", tiny_bundle())
    arguments = ["--model", str(tmp_path / "m.safetensors"), "--data", str(tmp_path / "lines")]
    result = CliRunner().invoke(main, ["calibrate", *arguments, "-o", str(tmp_path / "c.safetensors")])
    assert result.exit_code == 0 and "cannot be told" in result.output


def test_lines_named_twice_count_once(tmp_path):
    labelled(tmp_path / "lines", 60, wrong=20)
    save(tmp_path / "m.safetensors", tiny_bundle())
    places = [str(tmp_path / "lines"), f"{tmp_path}/lines/../lines", str(tmp_path / "lines" / "labels.tsv")]
    arguments = ["--model", str(tmp_path / "m.safetensors"), *(part for place in places for part in ("--data", place))]
    result = CliRunner().invoke(main, ["calibrate", *arguments, "-o", str(tmp_path / "c.safetensors")])
    assert result.exit_code == 0 and "fitted on 60 lines" in result.output
    assert "other lines of the same documents" in result.output


def test_a_few_lines_are_refused_and_inputs_kept(tmp_path):
    labelled(tmp_path / "lines", 49, wrong=5)
    save(tmp_path / "m.safetensors", tiny_bundle())
    arguments = ["calibrate", "--model", str(tmp_path / "m.safetensors"), "--data", str(tmp_path / "lines")]
    few = CliRunner().invoke(main, [*arguments, "-o", str(tmp_path / "c.safetensors")])
    assert few.exit_code == 2 and "50 labelled lines or more, found 49" in few.output
    for place, said in (
        (tmp_path / "m.safetensors", "would replace what is read"),
        (tmp_path / "lines" / "labels.tsv", "lies there already, among what is read"),
    ):
        before = place.read_bytes()
        refused = CliRunner().invoke(main, [*arguments, "-o", str(place)])
        assert refused.exit_code == 2 and said in refused.output
        assert place.read_bytes() == before
