"""`ocrformer evaluate` from end to end, with a network that reads nonsense: the figures must say so."""

import json
import os
import random

import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer import DecodeOptions, OCRformer
from ocrformer.cli import main
from ocrformer.datasets import Sample, load_samples
from ocrformer.evaluation import compared, error_rates, evaluate, report, worst
from ocrformer.evaluation_page import _differences
from ocrformer.model.network import WeightsError, save
from ocrformer.reader import weights_path
from tests.conftest import writing_bundle
from tests.pictures import picture


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for seed in (2, 3):
        bundle = writing_bundle(seed)
        save(folder / f"m{seed}.safetensors", bundle)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory, models):
    """Labels are what the first model reads, but for a few."""
    folder = tmp_path_factory.mktemp("data")
    reader = OCRformer.from_pretrained(models / "m2.safetensors", "cpu")
    rows = []
    for index in range(24):
        image = Image.new("L", (40 + 13 * index, 28), 255)
        ImageDraw.Draw(image).text((3, 6), f"line {index}", fill=0)
        image.save(folder / f"{index:02d}.png")
        (line,) = reader.read([image])
        rows.append(f"{index:02d}.png\t{'wrong label' if index % 6 == 0 else line.text}\n")
    (folder / "broken.png").write_bytes(b"\x89PNG")
    (folder / "labels.tsv").write_text("".join([*rows, "broken.png\tx\n"]), "utf-8")
    return folder


@pytest.fixture(scope="module")
def evaluations(models, data):
    readers = [OCRformer.from_pretrained(models / f"m{seed}.safetensors", "cpu") for seed in (2, 3)]
    return [evaluate(reader, "data", load_samples(data), DecodeOptions()) for reader in readers]


def test_marked_differences_are_those_that_count():
    assert list(_differences("TOTAL “5”", 'Total "6"')) == [
        ("equal", "TOTAL “", 'Total "'),
        ("replace", "5", "6"),
        ("equal", "”", '"'),
    ]
    assert ("delete", " ", "") in list(_differences("a b", "ab"))
    assert list(_differences("a -- ß", "a — SS")) == [("equal", "a -- ß", "a — SS")]
    assert list(_differences("wait...x", "wait…y")) == [("equal", "wait...", "wait…"), ("replace", "x", "y")]
    assert list(_differences("so…", "so..")) == [("equal", "so", "so.."), ("delete", "…", "")]


def test_marked_differences_leave_nothing_out():
    draw = random.Random(0)
    for _ in range(300):
        truth, text = ("".join(draw.choices("ab-—…. ß“é", k=draw.randint(0, 9))) for _ in "12")
        parts = list(_differences(truth, text))
        assert ("".join(part[1] for part in parts), "".join(part[2] for part in parts)) == (truth, text)


def test_report_holds_every_figure(evaluations):
    figures = report(evaluations[0])
    assert figures["folded"]["lines"] == 24
    assert figures["folded"]["exact"] == pytest.approx(20 / 24)
    low, high = figures["interval"]
    assert low <= figures["folded"]["cer"] <= high
    assert len(figures["failures"]) == 1
    assert sum(part["lines"] for part in figures["by_length"]) == 24
    assert figures["lines"]["bins"] and figures["characters"]["bins"]
    assert figures["confusions"]
    json.dumps(figures)


def test_worst_lines_come_first(evaluations):
    assert {index % 6 for index in worst(evaluations[0])} == {0}


def test_sets_of_which_nothing_was_read_have_no_error_rate(evaluations):
    samples = evaluations[0].samples
    rates = error_rates(
        evaluations[0], {"some": samples[:5], "unread": [Sample("gone.png", "text", "", samples[0].open)]}
    )
    assert list(rates) == ["some"] and rates["some"] > 0


def test_comparison_knows_the_better_model(evaluations):
    result = compared(*evaluations)
    assert result["difference"] > 0 and result["low"] > 0
    assert result["first_better"] > result["second_better"]


def test_command(models, data, tmp_path):
    figures, page = tmp_path / "f.json", tmp_path / "p.html"
    arguments = ["evaluate", "--data", str(data), "--json", str(figures), "--html", str(page)]
    for seed in (2, 3):
        arguments += ["--model", str(models / f"m{seed}.safetensors")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1, result.output  # one picture is broken
    assert "m3.safetensors against m2.safetensors" in result.output
    assert len(json.loads(figures.read_text("utf-8"))["reports"]) == 2
    embedded = json.loads(page.read_text("utf-8").split('id="data">')[1].split("</script>")[0])
    assert len(embedded["worst"]) == 2
    assert embedded["worst"][0][0]["image"].startswith("data:image/webp")


def test_wrong_use(tmp_path, data):
    assert CliRunner().invoke(main, ["evaluate", "--data", str(tmp_path)]).exit_code == 2
    missing = CliRunner().invoke(main, ["evaluate", "--data", str(data), "--model", "none.safetensors"])
    assert missing.exit_code == 2 and "no such weights" in missing.output
    assert CliRunner().invoke(main, ["evaluate", "--data", str(data), "--html", "-"]).exit_code == 2


def test_what_cannot_be_measured_is_one_sentence(models, tmp_path):
    (tmp_path / "labels.tsv").write_text("none.png\ttext\n")
    model = str(models / "m2.safetensors")
    for command in ("evaluate", "calibrate"):
        output = ["-o", str(tmp_path / "c.safetensors")] if command == "calibrate" else []
        result = CliRunner().invoke(main, [command, "--data", str(tmp_path), "--model", model, *output])
        assert result.exit_code in (1, 2) and "none.png: cannot open file" in result.output
    for wrong in (["--json", str(tmp_path)], ["--html", str(tmp_path / "labels.tsv" / "x.html")], ["--device", "zz"]):
        result = CliRunner().invoke(main, ["evaluate", "--data", str(tmp_path), "--model", model, *wrong])
        assert result.exit_code == 2 and "Traceback" not in result.output, result.output
        assert wrong[1] in result.output


def test_nothing_that_is_read_or_written_is_written_over(models, data, tmp_path):
    picture, before = data / "00.png", (data / "00.png").read_bytes()
    graph = tmp_path / "encoder.onnx"
    graph.write_text("of old")
    table = str(data / "labels.tsv")
    odd = tmp_path / "odd"
    odd.mkdir()
    (odd / "picture.json").write_bytes(before)  # the name alone would let it be replaced
    (odd / "labels.tsv").write_text("picture.json\ttext\n")
    for arguments, said in (
        (["evaluate", "--data", str(odd / "labels.tsv"), "--json", str(odd / "picture.json")], "a labelled picture"),
        (["evaluate", "--data", table, "--json", str(picture)], "name another file"),
        (["evaluate", "--data", table, "--json", str(graph), "--runtime", str(graph)], "would replace what is read"),
        (
            ["evaluate", "--data", table, "--json", str(tmp_path / "x"), "--html", str(tmp_path / "x")],
            "need a file each",
        ),
        (["calibrate", "--data", table, "-o", str(picture), "--overwrite"], "a labelled picture"),
        (["calibrate", "--data", table, "-o", str(weights_path("default"))], "name another file"),
        (["data", "check", table, "--sheet", str(picture), "--overwrite"], "a labelled picture"),
    ):
        refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 2 and said in refused.output, refused.output
    assert (odd / "picture.json").read_bytes() == before
    assert picture.read_bytes() == before and graph.read_text() == "of old" and not (tmp_path / "x").exists()


def test_outputs_become_no_labels_and_lie_apart(models, data):
    model = str(models / "m2.safetensors")
    taken = "would be taken for labels"
    for name, said in (("labels.jsonl", taken), ("x.gt.txt", taken), ("eval.json", "")):
        run = CliRunner().invoke(main, ["evaluate", "--data", str(data), "--model", model, "--json", str(data / name)])
        assert run.exit_code == (2 if said else 1) and said in run.output
    again = CliRunner().invoke(main, ["evaluate", "--data", str(data), "--model", model, "--json", str(data / name)])
    (data / name).unlink()
    assert again.exit_code == 2 and "lies there already, among what is read" in again.output
    assert not (data / "labels.jsonl").exists()


def test_labels_that_are_all_empty_have_no_error_rate(models, tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "labels.tsv").write_text("a.png\t\n")
    run = CliRunner().invoke(main, ["evaluate", "--data", str(tmp_path), "--model", str(models / "m2.safetensors")])
    assert run.exit_code == 2 and "all its labels are empty" in run.output


def test_figures_go_to_standard_output_whatever_files_are_called(models, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    picture(folder / "a.png")
    (folder / "labels.tsv").write_text("a.png\ttext\n")
    model = str(models / "m2.safetensors")
    run = CliRunner().invoke(main, ["evaluate", "--data", str(folder), "--model", model, "--json", "-"])
    assert run.exit_code == 0 and json.loads(run.output)["reports"][0]["data"] == folder.name


def test_no_file_of_another_kind_is_replaced(models, data, tmp_path):
    """Weights that took hours, named by mistake."""
    model, weights = str(models / "m2.safetensors"), tmp_path / "mine" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"of hours")
    for arguments in (
        ["evaluate", "--data", str(data), "--model", model, "--json", str(weights)],
        ["evaluate", "--data", str(data), "--model", model, "--html", str(weights)],
        ["calibrate", "--data", str(data), "--model", model, "-o", str(weights)],
        ["export", "--model", model, "-o", str(weights)],
        ["data", "check", str(data), "--model", model, "--sheet", str(weights)],
        ["bench", "--data", str(data), "--model", model, "--json", str(weights)],
    ):
        refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 2 and f"{weights} exists" in refused.output, refused.output
    assert weights.read_bytes() == b"of hours"
    for target, code in ((weights, 2), (tmp_path / "old.png", 1)):  # one picture is broken
        target.touch()
        sheet = ["data", "check", str(data), "--model", model, "--sheet", str(target), "--overwrite"]
        assert CliRunner().invoke(main, sheet).exit_code == code
    assert weights.read_bytes() == b"of hours" and target.read_bytes().startswith(b"\x89PNG")


def test_fine_tuned_models_are_told_apart(models, data, tmp_path):
    arguments = ["evaluate", "--data", str(data)]
    for name, seed in (("first", 2), ("second", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes((models / f"m{seed}.safetensors").read_bytes())
        arguments += ["--model", str(tmp_path / name / "model.safetensors")]
    printed = CliRunner().invoke(main, arguments).output
    assert [line.split()[1] for line in printed.splitlines() if line.startswith(f"{data.name} ")] == ["first", "second"]
    assert ": second against first: " in printed


def test_a_set_of_which_nothing_can_be_read_does_not_cost_the_others(models, data, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "labels.tsv").write_text("none.png\ttext\n")
    arguments = ["--json", str(tmp_path / "f.json")]
    for seed in (2, 3):
        arguments += ["--model", str(models / f"m{seed}.safetensors")]
    result = CliRunner().invoke(main, ["evaluate", "--data", str(tmp_path / "bad"), "--data", str(data), *arguments])
    assert result.exit_code == 1 and result.output.count("bad: none of its pictures could be read") == 1
    figures = json.loads((tmp_path / "f.json").read_text("utf-8"))
    assert [report["data"] for report in figures["reports"]] == [data.name] * 2 and len(figures["comparisons"]) == 1


@pytest.mark.parametrize("command", ["attend", "calibrate", "distort", "export", "synth", "train"])
def test_commands_that_write_to_this_machine_alone_say_so(data, command):
    more = {
        "attend": [str(data / "00.png")],
        "calibrate": ["--data", str(data)],
        "distort": [str(data)],
        "train": ["--data", str(data)],
    }
    target = "memory://x/y" + {"attend": ".png", "export": ".onnx"}.get(command, "")
    named = ["data", "distort"] if command == "distort" else [command]
    refused = CliRunner().invoke(main, [*named, *more.get(command, []), "-o", target])
    assert refused.exit_code == 2 and "this machine alone" in refused.output, refused.output


def test_weights_go_where_a_link_points(models, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "real")
    bundle = writing_bundle(2)
    save(tmp_path / "link", bundle)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="no regular file"):
        save(tmp_path / "pipe", bundle)
