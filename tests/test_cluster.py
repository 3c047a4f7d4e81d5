"""The Ray engine against the local one, on a cluster of two made-up cores on this machine."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from ocrformer.model.network import save
from ocrformer.sources import Item
from ocrformer.transcribe import Window
from tests.conftest import tiny_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(path, tiny_bundle(seed=2))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three windows of pictures, one of them broken."""
    folder = tmp_path_factory.mktemp("images")
    draw = np.random.default_rng(0)
    for index in range(120):
        picture = draw.integers(0, 256, (24, int(draw.integers(30, 120))), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{index:03d}.png")
    (folder / "050.png").write_bytes(b"\x89PNG broken")
    return folder


def read(folder, model, output, *options):
    command = [sys.executable, "-m", "ocrformer", "read", str(folder), "--model", str(model), "--mode", "ctc"]
    return subprocess.run(
        [*command, "-f", "jsonl", "-o", str(output), *options], capture_output=True, text=True, timeout=300
    )


def test_rows_equal_those_of_the_local_engine_and_are_resumed(folder, model, tmp_path):
    local = read(folder, model, tmp_path / "local.jsonl")
    assert local.returncode == 1, local.stderr  # one picture is broken
    spread = read(folder, model, tmp_path / "ray.jsonl", "--engine", "ray", "--actors", "2")
    assert spread.returncode == 1, spread.stderr
    assert "Traceback" not in spread.stderr
    rows = (tmp_path / "ray.jsonl").read_bytes()
    assert rows == (tmp_path / "local.jsonl").read_bytes()
    assert len([json.loads(row) for row in rows.splitlines()]) == 120

    half = sum(map(len, rows.splitlines(keepends=True)[:40]))
    (tmp_path / "ray.jsonl").write_bytes(rows[:half])  # as after a kill
    resumed = read(folder, model, tmp_path / "ray.jsonl", "--resume", "--engine", "ray", "--actors", "2")
    assert resumed.returncode == 1, resumed.stderr
    assert (tmp_path / "ray.jsonl").read_bytes() == rows
    assert "read 79" in resumed.stderr  # and one of the 80 is broken


def test_large_members_make_small_partitions(monkeypatch):
    cluster = pytest.importorskip("ocrformer.cluster")
    monkeypatch.setattr(cluster, "_HELD", 1000)
    windows = iter([Window([Item(str(n), str(n), data=bytes(600))], [True]) for n in range(5)])
    assert [len(cluster._partition(windows)) for _ in range(4)] == [2, 2, 1, 0]


def test_more_readers_than_cores_is_a_sentence_not_a_wait(folder, model, tmp_path):
    result = read(folder, model, tmp_path / "rows.jsonl", "--engine", "ray", "--actors", "500")
    assert result.returncode == 2
    assert "500 readers need a core each, but the cluster has" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_cluster_is_a_sentence(folder, model, tmp_path):
    result = read(folder, model, tmp_path / "rows.jsonl", "--engine", "ray", "--address", "127.0.0.1:1")
    assert result.returncode == 2
    assert "no Ray cluster at 127.0.0.1:1" in result.stderr and "Traceback" not in result.stderr


def test_a_cluster_leaves_signals_and_relative_names_as_they_were(model, tmp_path):
    """Ray's own handler of SIGTERM ended the process with its rows unwritten; actors begin in a folder of Ray's."""
    script = f"""
import os, signal
from ocrformer.cluster import Job, RayTranscriber, _Read
from ocrformer.config import DecodeOptions
handler = lambda *_: None
signal.signal(signal.SIGTERM, handler)
job = Job({model.name!r}, DecodeOptions())
RayTranscriber(job, actors=1).close()
assert signal.getsignal(signal.SIGTERM) is handler
os.chdir({str(tmp_path)!r})
_Read(job)
assert os.getcwd() == {str(model.parent)!r}
"""
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=model.parent)
    assert result.returncode == 0, result.stderr[-2000:]
