"""`ocrformer bench`: every figure that it promises is there and plausible."""

import json

import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer.cli import main
from ocrformer.model.network import save
from tests.conftest import tiny_bundle


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    for index in range(6):
        picture = Image.new("L", (60 + 20 * index, 28), 255)
        ImageDraw.Draw(picture).text((3, 6), f"line {index}", fill=0)
        picture.save(folder / f"{index}.png")
        (folder / f"{index}.gt.txt").write_text(f"line {index}")
    save(folder / "tiny.safetensors", tiny_bundle())
    arguments = ["--data", str(folder), "--model", str(folder / "tiny.safetensors"), "--modes", "ctc,joint"]
    outputs = ["--json", str(folder / "bench.json"), "--markdown", str(folder / "bench.md")]
    result = CliRunner().invoke(main, ["bench", *arguments, "--repeat", "1", "--threads", "1", *outputs])
    assert result.exit_code == 0, result.output
    return json.loads((folder / "bench.json").read_text()), (folder / "bench.md").read_text(), folder.name


def test_everyone_reads_the_same_lines(figures):
    numbers, markdown, name = figures
    rates = {rate["name"]: rate for rate in numbers["folders"][name]}
    assert {"ctc", "joint"} <= rates.keys()
    for rate in rates.values():
        assert 0 < rate["slowest"] <= rate["lines_per_second"] <= rate["fastest"]
        assert f"| {rate['name']} |" in markdown


def test_latency_start_up_memory_and_share_of_the_peak(figures):
    numbers, _, _ = figures
    assert numbers["latency_joint"][0] <= numbers["latency_joint"][1]
    assert numbers["first_row"] > 0 and numbers["start_up"] > 0
    assert numbers["pipeline"] > 0 and numbers["share_of_read"] > 0
    assert 0 < numbers["share_of_peak"] < 1.5 and numbers["peak"] > 1
    assert 0 < numbers["peak_memory"] < 2000


def test_wrong_use_is_a_sentence(tmp_path):
    result = CliRunner().invoke(main, ["bench", "--data", str(tmp_path), "--modes", "fast"])
    assert result.exit_code == 2 and "no such mode: fast" in result.output
    result = CliRunner().invoke(main, ["bench", "--data", str(tmp_path)])
    assert result.exit_code == 2 and "no labelled lines found" in result.output
