"""`ocrformer bench`: every figure that it promises is there and plausible."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer import benchmark, peers, scaling
from ocrformer.cli import main
from ocrformer.model.network import save
from ocrformer.reader import OCRformer
from tests.conftest import tiny_bundle
from tests.pictures import picture


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    for index in range(6):
        picture = Image.new("L", (60 + 20 * index, 28), 255)
        ImageDraw.Draw(picture).text((3, 6), f"line {index}", fill=0)
        picture.save(folder / f"{index}.png")
        (folder / f"{index}.gt.txt").write_text(f"line {index}")
    save(folder / "tiny.safetensors", tiny_bundle())
    arguments = [
        "--data",
        str(folder),
        "--model",
        str(folder / "tiny.safetensors"),
        "--modes",
        "ctc,joint,draft,greedy",
    ]
    outputs = ["--json", str(folder / "bench.json"), "--markdown", str(folder / "bench.md")]
    result = CliRunner().invoke(main, ["bench", *arguments, "--repeat", "1", "--threads", "1", *outputs])
    assert result.exit_code == 0, result.output
    return json.loads((folder / "bench.json").read_text()), (folder / "bench.md").read_text(), folder.name, folder


def test_rates_are_in_order_and_in_the_table(figures):
    numbers, markdown, name, _ = figures
    rates = {rate["name"]: rate for rate in numbers["folders"][name]}
    assert {"ctc", "joint"} <= rates.keys()
    for rate in rates.values():
        assert 0 < rate["slowest"] <= rate["lines_per_second"] <= rate["fastest"]
        assert f"| {rate['name']} |" in markdown


def test_latency_start_up_memory_and_share_of_the_peak(figures):
    numbers = figures[0]
    assert numbers["latency_joint"][0] <= numbers["latency_joint"][1]
    assert numbers["first_row"] > 0 and numbers["start_up"] > 0
    assert numbers["pipeline"] > 0 and numbers["share_of_read"] > 0
    assert 0 < numbers["share_of_peak"] < 4 and numbers["peak"] > 1  # integers may pass the floats' peak
    assert 0 < numbers["peak_memory"] < 2000
    for together in ("1", "64", "1024"):
        assert numbers["decoder"][together].keys() == {"joint", "draft", "greedy"}
        assert numbers["different"][together] == 0
    assert numbers["synthetic"] > 10


def test_cost_by_width_and_by_number_is_drawn(figures, tmp_path):
    reader = OCRformer(tiny_bundle())
    costs = scaling.by_width(reader, [np.full((32, 40), 128, np.uint8)], "ctc", (64, 128))
    folder = figures[3]
    runs = [
        scaling.transcribe(sorted(folder.glob("*.png")), ["--model", str(folder / "tiny.safetensors")], n)
        for n in (6, 40)
    ]
    assert costs.keys() == {64, 128} and [run.images for run in runs] == [6, 40]
    assert all(run.rate > 0 and run.memory > scaling.torch_memory() / 2 for run in runs)
    scaling.plot(tmp_path / "plot.svg", {"ctc": costs}, runs)
    assert "<svg" in (tmp_path / "plot.svg").read_text()


def test_wrong_use_is_a_sentence(tmp_path):
    result = CliRunner().invoke(main, ["bench", "--data", str(tmp_path), "--modes", "fast"])
    assert result.exit_code == 2 and "no such mode: fast" in result.output
    result = CliRunner().invoke(main, ["bench", "--data", str(tmp_path)])
    assert result.exit_code == 2 and "no labelled lines found" in result.output
    result = CliRunner().invoke(main, ["bench", "--data", "samples", "--scaling", str(tmp_path / "plot.doc")])
    assert result.exit_code == 2 and "draws .svg, .png or .pdf" in result.output
    same = [str(tmp_path / "b.json")] * 2
    result = CliRunner().invoke(main, ["bench", "--data", "samples", "--json", same[0], "--markdown", same[1]])
    assert result.exit_code == 2 and "two outputs need a file each" in result.output
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("a.png\tone\na.png\tother\n")
    result = CliRunner().invoke(main, ["bench", "--data", str(tmp_path)])
    assert result.exit_code == 2 and "has two labels that differ" in result.output


def test_peers_that_cannot_start_or_read_are_left_out(monkeypatch, caplog):
    def broken(threads):
        raise ImportError("no onnxruntime")

    monkeypatch.setattr(peers, "rapidocr", broken)
    monkeypatch.setattr(peers.shutil, "which", lambda _: None)
    monkeypatch.setattr(peers.importlib.util, "find_spec", lambda _: object())
    assert peers.installed(1) == {}
    assert "rapidocr is left out: no onnxruntime" in caplog.text

    def unable(paths):
        raise peers.PeerError("no picture to it")

    rates = benchmark.race({"we": lambda _: ["a"], "they": unable}, [Path("a.png")], ["a"], 1)
    assert [rate.name for rate in rates] == ["we"] and "they is left out: no picture to it" in caplog.text


def test_pages_without_words_are_pages():
    rows = [["level", "text"], ["1", ""], ["5", "one"], ["5", "line"], ["1", ""], ["1", ""], ["5", "last"]]
    assert peers._pages("\n".join("\t".join(row) for row in rows)) == ["one line", "", "last"]
