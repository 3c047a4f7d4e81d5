"""Training runs of seconds: they learn, they resume bit for bit, they survive signals."""

import csv
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import Timer
from PIL import Image

from ocrformer.model.network import load
from ocrformer.training.module import LineModule
from ocrformer.training.run import precision
from tests.conftest import ROOT, TINY

STEPS = 8
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))


def train(folder: Path, fonts: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Train a very small model for a few steps in a process of its own."""
    loggers = ", ".join(
        f"{{class_path: lightning.pytorch.loggers.{name}, init_args: {{save_dir: {folder}}}}}"
        for name in ("CSVLogger", "TensorBoardLogger")
    )
    arguments = [
        "-c", "configs/tiny.yaml",
        "--model.model.channels", "[4, 8, 12]",
        "--model.model.d_model", "64",
        "--model.model.feed_forward", "64",
        "--model.warmup_steps", "2",
        "--data.synthetic.fonts", f"[{fonts / 'DejaVuSans.ttf'}, {fonts / 'DejaVuSerif.ttf'}]",
        "--data.synthetic.buckets.pixels", "512",
        "--data.validation_lines", "6",
        "--data.workers", "1",
        "--trainer.max_steps", str(STEPS),
        "--trainer.val_check_interval", "5",
        "--trainer.log_every_n_steps", "1",
        "--trainer.accelerator", "cpu",
        "--trainer.logger", f"[{loggers}]",
        *more,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "ocrformer", "train", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = max(folder.rglob("last*.ckpt"), key=lambda path: path.stat().st_mtime)
    saved = torch.load(checkpoint, weights_only=True)
    assert saved["global_step"] == STEPS
    state: dict[str, torch.Tensor] = saved["current_model_state"]
    return state


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, fonts: Path) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    places = [folder / book / "lines" for book in "ab"]  # of one name
    for place in places:
        place.mkdir(parents=True)
        Image.new("L", (60, 32), 255).save(place / "1.png")
        (place / "labels.tsv").write_text("1.png\t\n")
    result = train(folder, fonts, "--data.validation_folders", str([str(place) for place in places]))
    assert result.returncode == 0, result.stderr[-2000:]
    assert len(list(folder.rglob("worst-*-lines.png"))) == 2
    assert "font DejaVu Sans (DejaVuSans.ttf): " in result.stdout
    (exported,) = folder.rglob("last.safetensors")
    assert f"{exported.parent}: preview.png now; last.safetensors" in result.stdout
    return folder


@pytest.mark.parametrize(
    ("how", "checkpoint_every"), [(signal.SIGKILL, 3), (signal.SIGTERM, 100)], ids=["kill", "term"]
)
def test_a_stopped_run_resumes_to_the_same_weights_bit_for_bit(tmp_path, fonts, unbroken, how, checkpoint_every):
    """After kill -9 from the last checkpoint; on SIGTERM a checkpoint is written at once."""
    every = f"--trainer.callbacks.every_n_train_steps={checkpoint_every}"
    stop = [
        "--trainer.callbacks+=tests.stop.StopAt",
        "--trainer.callbacks.step=5",
        f"--trainer.callbacks.signal={how:d}",
    ]
    checkpointing = ["--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", every]
    checkpointing += [f"--trainer.callbacks.dirpath={tmp_path}/saved", "--trainer.callbacks.save_last=true"]
    checkpointing += ["--trainer.callbacks.save_on_exception=true"]
    stopped = train(tmp_path, fonts, *checkpointing, *stop)
    assert stopped.returncode == (-9 if how == signal.SIGKILL else 143)
    (last,) = (tmp_path / "saved").glob("last*.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == (3 if how == signal.SIGKILL else 5)
    resumed = train(tmp_path / "resumed", fonts, "--ckpt_path", str(last), "--trainer.enable_progress_bar", "false")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    expected, got = final_weights(unbroken), final_weights(tmp_path / "resumed")
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, got[name]), name


def test_a_step_that_is_interrupted_is_done_to_its_end(tmp_path, fonts):
    """Batch statistics of half a step, or the half of its gradients, would be in the checkpoint otherwise."""
    doubled = ["--trainer.accumulate_grad_batches", "2"]
    saving = ["--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", "--trainer.callbacks.save_last=true"]
    saving += ["--trainer.callbacks.save_on_exception=true"]
    whole, half, rest = tmp_path / "whole", tmp_path / "half", tmp_path / "rest"
    result = train(whole, fonts, *doubled)
    assert result.returncode == 0, result.stderr[-2000:]
    stop = ["--trainer.callbacks+=tests.stop.StopAt", "--trainer.callbacks.step=5", "--trainer.callbacks.amid=true"]
    stop += [f"--trainer.callbacks.signal={signal.SIGINT:d}"]
    stopped = train(half, fonts, *doubled, *saving, f"--trainer.callbacks.dirpath={half}/saved", *stop)
    assert stopped.returncode == 130, stopped.stderr[-2000:]
    (last,) = (half / "saved").glob("last*.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == 6
    resumed = train(rest, fonts, *doubled, "--ckpt_path", str(last))
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    expected, got = final_weights(whole), final_weights(rest)
    assert all(torch.equal(tensor, got[name]) for name, tensor in expected.items())
    ((one,), (other,)) = (folder.rglob("last.safetensors") for folder in (whole, rest))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--trainer.max_time", "5"], "max_time"),
        (["--ckpt_path", "none.ckpt"], "none.ckpt"),
        (["--ckpt_path", "cut.ckpt"], "--ckpt_path: no checkpoint of such a run"),
        (["--ckpt_path", "empty.ckpt"], "--ckpt_path: no checkpoint of such a run"),
        (["--ckpt_path", "other.ckpt"], "--ckpt_path: no checkpoint of such a run"),
    ],
)
def test_what_training_cannot_go_by_is_one_sentence(tmp_path, fonts, unbroken, options, said):
    checkpoint = next(iter(unbroken.rglob("last*.ckpt")))
    (tmp_path / "cut.ckpt").write_bytes(checkpoint.read_bytes()[:1000])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    torch.save({"a": 1}, tmp_path / "other.ckpt")
    placed = [str(tmp_path / option) if option.endswith(".ckpt") else option for option in options]
    result = train(tmp_path, fonts, *placed, "--data.validation_lines", "1")
    assert result.returncode == 2 and said in result.stderr, result.stderr[-2000:]
    assert "Traceback" not in result.stderr


def test_a_taught_network_may_keep_its_backbone(tmp_path, fonts, unbroken):
    """On lines that are used twice and warped."""
    (start,) = unbroken.rglob("last.safetensors")
    taught = ["--model.init", str(start), "--model.teacher", "default", "--model.keep_backbone", "true"]
    result = train(tmp_path, fonts, *taught, "--data.echo", "2", "--model.warp_share", "0.7")
    assert result.returncode == 0, result.stderr[-2000:]
    (log,) = tmp_path.rglob("metrics.csv")
    distances = [
        float(row["train/teacher"]) for row in csv.DictReader(log.read_text().splitlines()) if row["train/teacher"]
    ]
    assert len(distances) == STEPS
    assert min(distances) > 0
    (end,) = tmp_path.rglob("last.safetensors")
    before, after = load(start).network.state_dict(), load(end).network.state_dict()
    for name, tensor in before.items():
        moved = not name.startswith(("backbone.stem", "backbone.stages"))
        assert not tensor.is_floating_point() or torch.equal(tensor, after[name]) != moved, name


@pytest.mark.parametrize(("capable", "expected"), [({"avx512_bf16": True}, "bf16-mixed"), ({"avx2": True}, "32-true")])
def test_bfloat16_is_for_processors_that_multiply_it(capable, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capable)
    assert precision() == expected


def test_training_learns_and_writes_what_it_promises(unbroken):
    with Image.open(next(unbroken.rglob("preview.png"))) as preview:
        assert preview.width == 1600 and preview.height > 1000
    (table,) = unbroken.rglob("metrics.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    losses = [float(row["train/ce"]) for row in rows if row.get("train/ce")]
    assert losses[-1] < losses[0]
    assert any(row.get("unseen-fonts/cer") for row in rows)
    assert any(row.get("lines/s") for row in rows)
    assert list(unbroken.rglob("worst-unseen-fonts.png"))
    (board,) = unbroken.rglob("events.out.tfevents.*")
    assert board.parent == table.parent
    assert b"worst-unseen-fonts" in board.read_bytes()
    (exported,) = unbroken.rglob("last.safetensors")
    assert load(exported).details["steps"] == str(STEPS)


def test_two_processes_train_one_model(tmp_path, fonts):
    result = train(tmp_path, fonts, "--trainer.devices", "2", "--trainer.strategy", "ddp")
    assert result.returncode == 0, result.stderr[-2000:]
    (table,) = tmp_path.rglob("metrics.csv")
    losses = [float(row["train/ce"]) for row in csv.DictReader(table.read_text().splitlines()) if row["train/ce"]]
    assert len(losses) == STEPS and losses[-1] < losses[0]
    (exported,) = tmp_path.rglob("last.safetensors")
    assert load(exported).details["steps"] == str(STEPS)
    assert list(tmp_path.rglob("worst-unseen-fonts.png"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_two_processes_end_together_when_one_is_asked_to(tmp_path, fonts, number):
    stop = [
        "--trainer.callbacks+=tests.stop.StopAt",
        "--trainer.callbacks.step=4",
        f"--trainer.callbacks.signal={number:d}",
    ]
    stop += ["--trainer.callbacks+=lightning.pytorch.callbacks.ModelCheckpoint", "--trainer.callbacks.save_last=true"]
    stop += [f"--trainer.callbacks.dirpath={tmp_path}/saved", "--trainer.callbacks.save_on_exception=true"]
    result = train(tmp_path, fonts, "--trainer.devices", "2", "--trainer.strategy", "ddp", *stop)
    assert result.returncode == 143, result.stderr[-2000:]
    (last,) = (tmp_path / "saved").glob("last*.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == 4


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_complete_and_accepted(config):
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "ocrformer", "train", "-c", str(config), "--print_config"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "encoder_layers" in result.stdout


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--data.echo", "0", "once or more, got 0"),
        ("--model.warp_share", "3", "from 0 to 1, got 3"),
        ("--data.workers", "-1", "cannot be negative, got -1"),
        ("--model.learning_rate", "-1", "learning_rate must be positive"),
        ("--model.model.height", "33", "a multiple of 16, got 33"),
    ],
)
def test_impossible_options_are_told_in_a_sentence(tmp_path, fonts, option, value, said):
    result = train(tmp_path, fonts, option, value)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_typing_error_in_a_config_is_an_error(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((ROOT / "configs" / "tiny.yaml").read_text().replace("encoder_layers", "encoder_leyers"))
    result = subprocess.run(
        [sys.executable, "-m", "ocrformer", "train", "-c", str(wrong)], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 2
    assert "encoder_leyers" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("steps", [1000, math.inf])
def test_the_learning_rate_falls_by_the_end_of_the_time_given(monkeypatch, steps):
    timer = Timer("00:00:01:40")
    strategy = SimpleNamespace(broadcast=lambda share: share)
    module = LineModule(TINY, warmup_steps=2)
    module.trainer = SimpleNamespace(callbacks=[timer], strategy=strategy, estimated_stepping_batches=steps)
    rates = []
    for seconds in (0, 0, 50, 100, 120):
        monkeypatch.setattr(timer, "time_elapsed", lambda seconds=seconds: seconds)
        monkeypatch.setattr(timer, "time_remaining", lambda seconds=seconds: 100 - seconds)
        (factor, _) = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas
        rates.append(round(factor(0 if not rates else 10), 2))
    assert rates[:2] == [0.5, 1.0] and 0.45 < rates[2] < 0.55 and rates[3:] == [0.01, 0.01]
