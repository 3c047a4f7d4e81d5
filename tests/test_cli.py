"""The command line as users meet it: exit codes, streams, one sentence per problem, never a traceback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer.cli import main
from ocrformer.image import load
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(12):
        image = Image.new("L", (int(rng.integers(40, 300)), 28), 255)
        ImageDraw.Draw(image).text((3, 6), f"line {index}", fill=0)
        image.save(folder / f"{index:02d}.png")
    return folder


def invoke(*arguments, **options):
    result = CliRunner().invoke(main, ["read", *map(str, arguments)], **options)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_folder_gives_json_lines_and_a_summary(model, images):
    result = invoke(images, "--model", model)
    assert result.exit_code == 0
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["file"].rsplit("/")[-1] for row in rows] == sorted(p.name for p in images.iterdir())
    assert "read 12" in result.stderr and "failed 0" in result.stderr


def test_one_image_gives_its_text_alone(model, images):
    result = invoke(images / "00.png", "--model", model)
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1 and not result.stdout.startswith("{")
    assert result.stderr == ""


def test_same_text_alone_and_in_a_folder(model, images):
    together = [json.loads(line)["text"] for line in invoke(images, "--model", model).stdout.splitlines()]
    alone = [invoke(path, "--model", model).stdout.rstrip("\n") for path in sorted(images.iterdir())]
    assert alone == together


def test_bad_image_is_a_row_and_exit_code_one(model, images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    result = invoke(bad, images / "00.png", "--model", model, "-f", "jsonl")
    assert result.exit_code == 1
    failed, good = (json.loads(line) for line in result.stdout.splitlines())
    assert failed["status"] == "failed" and "damaged" in failed["error"] and failed["text"] == ""
    assert good["status"] != "failed"
    assert result.stderr.count("damaged") == 1


def test_fail_fast_stops_at_the_first(model, images, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG")
    result = invoke(images / "00.png", bad, images / "01.png", "--model", model, "-f", "jsonl", "--fail-fast")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.png"], "no such file"),
        ([".", "--output", "x", "--sidecars"], "choose one of"),
        ([".", "--mode", "psychic"], "Invalid value"),
        (["samples", "--resume"], "--resume needs"),
        ([".", "--charset", "α"], "not in the model's charset: 'α'"),
        ([".", "--charset", "\u200b"], "the allowed characters are none"),
        (["samples", "--characters", "-f", "csv"], "csv has no room for --characters"),
        ([".", "--batch-size", "many"], "--batch-size must be auto or a number"),
        ([".", "--min-confidence", "2"], "not in the range"),
        ([".", "--device", "abacus"], "abacus"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use_is_exit_code_two_and_one_sentence(model, arguments, says):
    result = invoke(*arguments, "--model", model)
    assert result.exit_code == 2
    assert says in result.stderr


def test_missing_model_is_one_sentence(images):
    result = invoke(images, "--model", "nowhere.safetensors")
    assert result.exit_code == 2
    assert "nowhere.safetensors: no such weights file" in result.stderr


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"], ids=["unix", "windows", "print0"])
def test_list_on_standard_input(model, images, separator):
    names = "".join(f"{images}/0{i}.png{separator}" for i in (3, 1))
    result = invoke("-", "--model", model, "-f", "tsv", input=names)
    assert [line.split("\t")[0][-6:] for line in result.stdout.splitlines()[1:]] == ["03.png", "01.png"]


def test_charset_constrains_decoding(model, images):
    result = invoke(images, "--model", model, "-f", "txt", "--charset", "0123456789")
    assert set(result.stdout) <= set("0123456789\n")
    assert result.stdout.strip()


def test_characters_report_and_output_file(model, images, tmp_path):
    out, report = tmp_path / "out.jsonl", tmp_path / "report.html"
    result = invoke(images, "--model", model, "-o", out, "--characters", "--report", report)
    assert result.exit_code == 0 and result.stdout == ""
    row = json.loads(out.read_text("utf-8").splitlines()[0])
    assert "".join(c["text"] for c in row["characters"]).split() == row["text"].split()
    assert all(len(c["box"]) == 4 for c in row["characters"])
    assert "OCRformer report" in report.read_text("utf-8")
    again = invoke(images, "--model", model, "-o", out)
    assert again.exit_code == 2 and "--resume" in again.stderr
    before = out.read_bytes()
    assert invoke(images, "--model", model, "-o", out, "--characters", "--resume").exit_code == 0
    assert out.read_bytes() == before


@pytest.mark.parametrize("form", ["hocr", "alto", "page", "json", "txt", "csv"])
def test_sidecars_in_every_format(model, images, tmp_path, form):
    result = invoke(images, "--model", model, "-f", form, "--output-dir", tmp_path / "out")
    assert result.exit_code == 0
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 12


def test_page_to_one_stream_is_refused_for_several(model, images):
    result = invoke(images, "--model", model, "-f", "page")
    assert result.exit_code == 2 and "PAGE describes one image" in result.stderr


def start(model, folder, out, *more):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "ocrformer", "read", str(folder), "--model", model, "-o", str(out), *more]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(process):
    _, messages = process.communicate(timeout=120)
    assert "Traceback" not in messages
    return process.returncode, messages


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(1)
    for index in range(800):
        pixels = np.full((20, int(rng.integers(40, 200))), 255, np.uint8)
        pixels[4:16, 4:-4:5] = 0
        Image.fromarray(pixels).save(folder / f"{index:04d}.png")
    return folder


@pytest.fixture(scope="module")
def whole(model, many, tmp_path_factory):
    """What an unbroken run writes."""
    path = tmp_path_factory.mktemp("whole") / "whole.jsonl"
    assert finish(start(model, many, path))[0] == 0
    return path


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_a_stopped_run_resumes_to_byte_identical_output(model, many, whole, tmp_path, how):
    parts = tmp_path / "parts.jsonl"
    process = start(model, many, parts)
    deadline = time.monotonic() + 60
    while (not parts.exists() or parts.stat().st_size < 5000) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(how)
    code, messages = finish(process)
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    done = parts.read_bytes()
    assert 0 < len(done) < whole.stat().st_size
    if how == signal.SIGINT:
        assert done.endswith(b"\n") and "read " in messages and "interrupted; --resume goes on" in messages
    assert finish(start(model, many, parts, "--resume"))[0] == 0
    assert parts.read_bytes() == whole.read_bytes()


def test_synth_needs_sensible_input(tmp_path):
    result = CliRunner().invoke(main, ["synth", "--fonts", str(tmp_path), "-o", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "no usable font" in result.output


def test_broken_exif_is_no_word_to_the_user(tmp_path):
    """Pillow warns of it, and reads the picture."""
    exif = Image.Exif()
    exif[0x010E] = "a description of some length"
    Image.new("L", (60, 20), 255).save(tmp_path / "a.jpg", exif=exif)
    whole = (tmp_path / "a.jpg").read_bytes()
    broken = whole.replace(b"\x00\x01\x01\x0e", b"\x00\x09\x01\x0e")  # nine entries where there is one
    (tmp_path / "a.jpg").write_bytes(broken)
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        load(tmp_path / "a.jpg")
    command = [sys.executable, "-m", "ocrformer", "read", str(tmp_path / "a.jpg")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")


_AS_LIGHTNING = "\n try: raise KeyboardInterrupt\n except KeyboardInterrupt: sys.exit(1)"


@pytest.mark.parametrize(("ends", "code"), [(" raise click.Abort()", 130), (_AS_LIGHTNING, 130), (" sys.exit(1)", 1)])
def test_ctrl_c_is_130(ends, code):
    program = f"import click, sys, ocrformer.cli as cli\ndef main(**_):{ends}\ncli.main = main\ncli.run()"
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == code


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("OCRFORMER_BATCH", "abc", "OCRFORMER_BATCH must be a whole number, got 'abc'"),
        ("OCRFORMER_DEVICE", "tpu", "cannot read on device 'tpu'"),
        ("OCRFORMER_RUNTIME", "bogus", "bogus"),
        ("OCRFORMER_MODEL", "nope", "nope: no such weights file"),
        ("", "", "cannot listen on localhost, port"),
        ("HOST", "a..b", "cannot listen on a..b, port"),
    ],
)
def test_a_server_that_cannot_work_is_not_begun(model, variable, value, says):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] if not variable else 65000
        environment = os.environ | {"OCRFORMER_MODEL": str(model)} | ({variable: value} if variable else {})
        command = [sys.executable, "-m", "ocrformer", "serve", "--host", value if variable == "HOST" else "localhost"]
        command += ["--port", str(port)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and says in result.stderr and "Traceback" not in result.stderr


def test_a_folder_is_no_weights_file(tmp_path):
    result = CliRunner().invoke(main, ["evaluate", "--data", str(ROOT / "samples"), "--model", str(tmp_path)])
    assert result.exit_code == 2 and "is a folder; name the weights file in it" in result.output


def test_a_picture_is_no_list_of_paths(model):
    command = [sys.executable, "-m", "ocrformer", "read", "--model", str(model), "-"]
    content = (ROOT / "samples" / "book-1.png").read_bytes()
    result = subprocess.run(command, input=content, capture_output=True, timeout=120)
    assert result.returncode == 2 and b"must be a list of paths" in result.stderr
