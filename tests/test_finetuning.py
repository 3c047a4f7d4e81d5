"""Fine-tuning: what is gathered, how batches are mixed, and one run of seconds from lines to report."""

import csv
import json
import os
import shutil
import string
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from unicodedata import normalize

import numpy as np
import pytest
import torch
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont
from lightning.pytorch.utilities.exceptions import SIGTERMException
from PIL import Image, ImageDraw, ImageFont

from ocrformer.charset import Charset
from ocrformer.datasets import DatasetError, Sample, load_samples
from ocrformer.image import prepare
from ocrformer.model.network import Bundle, Network, load, save
from ocrformer.training.batches import Buckets
from ocrformer.training.data import text_files
from ocrformer.training.finetune import FinetuneModule, KeepBest, Recipe, train
from ocrformer.training.fonts import OWN, FontError, load_faces
from ocrformer.training.growth import grow
from ocrformer.training.interpolation import gentlest
from ocrformer.training.lines import Key
from ocrformer.training.material import Task, _divided, _is_korean, _own, gather
from ocrformer.training.mixture import MixedSampler, Own, Real, to_mixed_batch
from ocrformer.training.proof import _characters
from ocrformer.training.tune import tune
from tests.conftest import ROOT, TINY

WORDS = (
    "amber birch cedar dune ember fjord grove heath inlet juniper knoll larch meadow north oak pine quay river".split()
)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    charset = Charset.default()
    path = tmp_path / "start.safetensors"
    details = {"temperature": "1.5", "CER on old lines": "0.10 %"}
    save(path, Bundle(Network(TINY, len(charset)).eval(), charset, details))
    return path


@pytest.fixture
def labelled(tmp_path, fonts):
    folder = tmp_path / "lines"
    folder.mkdir()
    font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 22)
    rows = []
    for index, word in enumerate(WORDS):
        picture = Image.new("L", (150, 32), 255)
        ImageDraw.Draw(picture).text((4, 2), word, fill=0, font=font)
        picture.save(folder / f"{index:02d}.png")
        rows.append(f"{index:02d}.png\t{word}\n")
    (folder / "labels.tsv").write_text("".join(rows), "utf-8")
    return folder


def task(weights, fonts, **more):
    return Task(str(weights), general_fonts=[str(fonts / "DejaVuSans.ttf")], **more)


def test_old_rows_keep_their_places(weights):
    before = load(weights)
    after = grow(before, "aαβ\n\ufb01\u2212\u00a0")
    assert after.charset.characters == before.charset.characters + "αβ"
    for name, old in before.network.state_dict().items():
        new = after.network.state_dict()[name]
        assert torch.equal(new[: len(old)] if old.ndim else new, old), name
    assert after.details == before.details
    assert grow(before, "known words\n") is before


def test_labelled_lines_are_divided_in_three(weights, labelled, fonts):
    material = gather(task(weights, fonts, data=[str(labelled)]))
    names = [{s.name for s in part} for part in (material.training, material.steering, material.held_out)]
    assert all(names) and sum(map(len, names)) == len(WORDS) == len(set.union(*names))
    assert material.own is None and material.before.details["temperature"] == "1.5"
    trained = {id(parameter) for parameter in material.bundle.network.parameters()}
    assert trained.isdisjoint(map(id, material.before.network.parameters()))  # the report compares the two
    (labelled / "labels.tsv").write_text("00.png\tamber\n01.png\tbirch\n", "utf-8")
    with pytest.raises(DatasetError, match="2 usable lines are too few"):
        gather(task(weights, fonts, data=[str(labelled)]))


def test_a_picture_under_two_names_is_learnt_from_or_tested_on_but_not_both(weights, labelled, fonts, caplog):
    for index in range(len(WORDS)):
        (labelled / f"copy-of-{index:02d}.png").write_bytes((labelled / f"{index:02d}.png").read_bytes())
    copies = [f"copy-of-{index:02d}.png\t{'other' if index == 3 else word}\n" for index, word in enumerate(WORDS)]
    with (labelled / "labels.tsv").open("a", encoding="utf-8") as table:
        table.writelines(copies)
    material = gather(task(weights, fonts, data=[str(labelled)]))
    samples = [*material.training, *material.steering, *material.held_out]
    assert len({sample.open().tobytes() for sample in samples}) == len(samples) == len(WORDS)
    assert f"left out: {len(WORDS)} pictures that are there already" in caplog.text
    assert "the first is learnt" in caplog.text and "'other'" in caplog.text


def test_few_documents_are_not_spent_on_steering():
    def lines(sizes):
        named = [(f"{book}/{line}", str(book)) for book, size in enumerate(sizes) for line in range(size)]
        return [Sample(name, "x", book, Path) for name, book in named]

    training, steering, held_out = _divided(lines([120, 80, 70, 30]))
    assert len(steering) == 60 and {s.document for s in steering} == {s.document for s in training}
    assert len({s.document for s in held_out}) == 1 and held_out[0].document not in {s.document for s in training}
    training, steering, held_out = _divided(lines([50] * 100))
    assert 400 < len(steering) < 500 and {s.document for s in steering}.isdisjoint(s.document for s in training)
    _, steering, _ = _divided(lines([4] * 10))
    assert len(steering) == 9  # a quarter at most


def test_texts_for_replay_are_told_apart_by_their_letters(weights, labelled, fonts, tmp_path):
    (tmp_path / "old.txt").write_text("oaks and elms\n" * 50, "utf-8")
    material = gather(task(weights, fonts, data=[str(labelled)], general_text=[str(tmp_path / "old.txt")]))
    source, _ = material.replay.voices[0]
    assert sum("oaks" in source._running(Random(seed), 400) for seed in range(20)) > 10
    (tmp_path / "ko.txt").write_text("나무 아래에서\n" * 50, "utf-8")
    assert _is_korean(tmp_path / "ko.txt") and not _is_korean(tmp_path / "old.txt")
    (tmp_path / "mac.txt").write_text(normalize("NFD", "나무 아래에서\n" * 50), "utf-8")
    (tmp_path / "._mac.txt").write_bytes(b"\x00\x05\x16\x07")
    assert _is_korean(tmp_path / "mac.txt")
    assert [file.name for file in text_files([str(tmp_path)])] == ["ko.txt", "mac.txt", "old.txt"]


def test_texts_bring_new_characters_to_fonts_that_have_them(weights, fonts, tmp_path):
    text = tmp_path / "new.txt"
    text.write_text("alpha α and beta β\nα β ± ½\n" * 50, "utf-8")
    material = gather(task(weights, fonts, text=[str(text)]))
    assert material.bundle.charset.missing("α β ± ½") == []
    assert len(material.bundle.charset) == len(material.before.charset) + 4
    text.write_text("alpha α and ሀ", "utf-8")
    with pytest.raises(FontError, match="no font has all of α ሀ"):
        gather(task(weights, fonts, text=[str(text)]))


def test_characters_of_labels_need_no_font(weights, labelled, fonts):
    """They have their pictures already."""
    labels = labelled / "labels.tsv"
    labels.write_text(labels.read_text("utf-8").replace("amber", "amber ሀ"), "utf-8")
    both = replace(task(weights, fonts, data=[str(labelled)]), fonts=[str(fonts / "DejaVuSans.ttf")])
    material = gather(both)
    assert material.own is not None and material.bundle.charset.missing("ሀ") == []


def test_own_fonts_with_hangul_are_drawn_in_both_scripts(weights, fonts, tmp_path):
    bundle = load(weights)
    (face,) = load_faces([fonts / "DejaVuSans.ttf"], bundle.charset)
    korean = replace(face, syllables="가나다")

    def scripts(own, **more):
        mine = replace(task(weights, fonts, **more), fonts=["own"])
        factory = _own(mine, bundle, set(), own)
        return [source.korean for source, _ in factory.voices]

    assert scripts([face]) == [False] and scripts([face, korean]) == [False, True]
    for name, text in (("en.txt", "oaks and elms"), ("ko.txt", "나무 아래에서")):
        (tmp_path / name).write_text(text, "utf-8")
    assert scripts([korean], text=[str(tmp_path / "en.txt")]) == [False]
    assert scripts([korean], text=[str(tmp_path / "ko.txt")]) == [True]
    assert scripts([korean], text=[str(tmp_path)]) == [False, True]
    with pytest.raises(FontError, match=r"ko\.txt is Korean, and no font has Hangul"):
        scripts([face], text=[str(tmp_path)])


@pytest.mark.parametrize("content", [None, " \n"])
def test_texts_that_are_none_are_no_texts(weights, fonts, tmp_path, content):
    """And never silently replaced by words of which nobody spoke."""
    if content:
        (tmp_path / "empty.txt").write_text(content)
    texts = tmp_path / "deeper"
    texts.mkdir()
    place = tmp_path if content else texts
    with pytest.raises((FileNotFoundError, DatasetError), match="no text in it" if content else r"no \*.txt in"):
        gather(task(weights, fonts, text=[str(place)]))


def test_nothing_to_learn_from(weights, fonts):
    with pytest.raises(ValueError, match="nothing to learn from"):
        gather(task(weights, fonts))


def test_own_fonts_need_only_capitals(fonts):
    charset = Charset.default()
    letters = load_faces([fonts / "DejaVuSans.ttf"], charset, exclude=(), required=OWN)
    assert letters
    with pytest.raises(FontError, match=r"DejaVuSans.ttf does not draw ሀ"):
        load_faces([fonts / "DejaVuSans.ttf"], charset, required=OWN + "ሀ")


def samples(count):
    picture = np.full((32, 100), 255, np.uint8)
    return [Sample(f"{i}.png", "word", "page", lambda: picture) for i in range(count)]


@pytest.mark.parametrize(("lines", "own"), [(40, False), (0, True), (40, True)])
def test_every_kind_of_line_is_drawn(lines, own):
    def sampler(start=0):
        return MixedSampler(samples(lines), own=own, height=32, buckets=Buckets(), replay=0.5, seed=3, start=start)

    batches = [sampler().batch(step) for step in range(64)]
    kinds = [type(key) for batch in batches for key in batch]
    assert (Real in kinds, Own in kinds, Key in kinds) == (lines > 0, own, True)
    if lines:
        seen = {key.sample for batch in batches for key in batch if isinstance(key, Real)}
        assert len(seen) == lines
    assert next(iter(sampler(start=17))) == batches[17]


def test_loosely_cut_lines_get_the_width_at_which_they_are_read(fonts):
    font = ImageFont.truetype(str(fonts / "DejaVuSans.ttf"), 30)
    picture = Image.new("L", (1000, 100), 255)
    ImageDraw.Draw(picture).text((10, 32), " ".join(WORDS[:12]), fill=0, font=font)
    sample = Sample("loose.png", "words", "page", lambda: np.asarray(picture))
    sampler = MixedSampler([sample], own=False, height=32, buckets=Buckets(), replay=0.5, seed=0)
    (width,) = {key.width for key in sampler.batch(0) if isinstance(key, Real)}
    read = prepare(np.asarray(picture), 32).shape[1]
    assert 1.5 * 320 < read < width < 1.4 * read


_PROGRAM = "from ocrformer.cli import run; from ocrformer.training import proof; proof._TESTED = 100; run()"


def run(*arguments):
    """The command, but for a shorter proof."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _PROGRAM, "train", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, cwd=ROOT)


def test_from_lines_to_report(weights, labelled, fonts, tmp_path):
    output = tmp_path / "mine"
    text = tmp_path / "new.txt"
    text.write_text("alpha α and beta β\n" * 50, "utf-8")
    options = [
        "--init", weights, "--data", labelled, "--text", text, "--general-fonts", fonts / "DejaVuSans.ttf",
        "--fonts", fonts / "DejaVuSerif.ttf", "-o", output, "--steps", 2,
    ]  # fmt: skip
    done = run(*options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lines to learn from" in done.stdout and "Traceback" not in done.stderr
    tuned = load(output / "model.safetensors")
    assert tuned.charset.missing("αβ") == [] and tuned.details["temperature"] == "1.5"
    assert not [key for key in tuned.details if key.startswith("CER")]  # those of the weights that it began with
    assert ("the one that it began with" in done.stdout) == (tuned.details["steps"] == "0")
    (judged,) = (output / "log").rglob("metrics.csv")
    rows = csv.DictReader(judged.read_text().splitlines())
    assert max(int(row["step"]) for row in rows if row["new/cer"]) > 0  # not only the weights at the start
    report = json.loads((output / "report.json").read_text("utf-8"))
    assert [r["data"] for r in report["reports"]][::2] == ["new lines", "own lines", "old lines"]
    assert {"α", "β"} <= set(report["new_characters"]) <= set("αβΑΒ")  # own texts are also set in capitals
    (font,) = report["fonts"]
    assert font["name"] == "DejaVu Serif (DejaVuSerif.ttf)" and all(0 <= font[key] <= 2 for key in {*font} - {"name"})
    assert "% of clean lines" in done.stdout and "% of worn ones" in done.stdout
    assert (output / "report.html").stat().st_size > 10_000
    with Image.open(output / "preview.png") as preview:
        assert preview.width > 1000
    again = run(*options)
    assert again.returncode == 2 and "use --overwrite" in again.stderr


def test_fonts_without_new_characters_are_named(weights, fonts, tmp_path, caplog):
    """And neither drawn in nor reported on."""
    font = TTFont(fonts / "DejaVuSerif.ttf")
    subset = Subsetter()
    subset.populate(text=string.printable)
    subset.subset(font)
    font.save(tmp_path / "few.ttf")
    (tmp_path / "new.txt").write_text("alpha α and beta β", "utf-8")
    named = [str(tmp_path / "few.ttf"), str(fonts / "DejaVuSans.ttf")]
    task = Task(str(weights), text=[str(tmp_path / "new.txt")], fonts=named, general_fonts=[str(fonts)])
    assert [Path(face.path).name for face in gather(task).own_faces] == ["DejaVuSans.ttf"]
    assert "left out: few.ttf does not draw α β" in caplog.text
    with pytest.raises(FontError, match="none of these fonts has all of α β"):
        gather(replace(task, fonts=named[:1]))


def test_only_labels_that_are_learnt_from_bring_characters(weights, labelled, fonts, caplog):
    shutil.copy(labelled / "00.png", labelled / "control.png")
    (labelled / "broken.png").write_bytes(b"\x89PNG")
    with (labelled / "labels.tsv").open("a", encoding="utf-8") as table:
        table.write("control.png\tbe\x07ll\nbroken.png\t№ 5\n")
    material = gather(Task(str(weights), data=[str(labelled)], general_fonts=[str(fonts)]))
    assert material.bundle.charset == material.before.charset
    assert "left out: 1 labels with control characters" in caplog.text


def test_pictures_that_are_learnt_from_are_not_replaced(weights, labelled, fonts):
    (labelled / "00.png").rename(labelled / "preview.png")
    table = labelled / "labels.tsv"
    table.write_text(table.read_text("utf-8").replace("00.png", "preview.png"), "utf-8")
    task = Task(str(weights), output=labelled, data=[str(labelled)], general_fonts=[str(fonts)])
    with pytest.raises(FileExistsError, match=r"preview\.png exists"):
        next(tune(task))
    with pytest.raises(DatasetError, match=r"preview\.png: would replace a labelled picture"):
        next(tune(replace(task, overwrite=True)))


def test_the_readmes_example_on_receipts(real_lines, fonts, tmp_path):
    receipts = real_lines / "sroie-train"
    rows = (receipts / "labels.tsv").read_text("utf-8").splitlines()[:400]
    (tmp_path / "labels.tsv").write_text("".join(f"{receipts}/{row}\n" for row in rows), "utf-8")
    output, general = tmp_path / "receipts", fonts / "DejaVuSans.ttf"
    done = run("--data", tmp_path, "--general-fonts", general, "-o", output, "--steps", 30)
    assert done.returncode == 0, done.stdout + done.stderr
    reports = json.loads((output / "report.json").read_text("utf-8"))["reports"]
    before, after = (report for report in reports if report["data"] == "new lines")
    before, after = before["folded"], after["folded"]
    assert after["cer"] <= before["cer"] and after["f1"] >= before["f1"] and after["lines"] >= 20


def test_new_characters_are_counted_however_they_are_spelt():
    nfd = SimpleNamespace(references=["h\u0151s\u00f6k", "ho\u030bso\u0308k"], predictions=["h\u0151s\u00f6k"] * 2)
    assert _characters([[nfd, nfd]], Charset.default()) == {"\u0151": (2, 2)}


def test_replayed_lines_are_held_to_what_was_read_before(weights, monkeypatch):
    module = FinetuneModule(load(weights), Recipe.by_size(100))
    monkeypatch.setattr(module, "log_dict", lambda *_, **__: None)
    monkeypatch.setattr(module, "log", lambda *_: None)
    monkeypatch.setattr(module, "_schedule", lambda: SimpleNamespace(get_last_lr=lambda: [0.0]))
    line = np.random.default_rng(0).integers(0, 256, (32, 100), dtype=np.uint8)
    lines = [(line, module.charset.encode(word), old) for word, old in (("amber", False), ("birch", True))]
    norms = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms) and module.network.ctc_head.training
    batch = to_mixed_batch(lines)
    assert batch.old.tolist() == [False, True]
    new = batch._replace(old=torch.zeros(2, dtype=torch.bool))
    assert module.training_step(batch, 0).item() == pytest.approx(module.training_step(new, 0).item(), abs=1e-4)
    with torch.no_grad():
        module.network.ctc_head.bias += torch.randn_like(module.network.ctc_head.bias)
    held, free = module.training_step(batch, 0), module.training_step(new, 0)
    assert held.item() > free.item() + 0.01


def test_a_run_that_is_stopped_leaves_the_model_of_an_earlier_one(weights, labelled, fonts, tmp_path, monkeypatch):
    stopped = replace(task(weights, fonts, data=[str(labelled)]), output=tmp_path / "mine", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.safetensors").write_text("of an earlier run")

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning.pytorch.Trainer.validate", lambda *_, **__: [])
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", stop)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, gather(stopped), Recipe.by_size(100))

    def terminate(*_, **__):
        raise SIGTERMException

    monkeypatch.setattr("lightning.pytorch.Trainer.fit", terminate)
    with pytest.raises(SystemExit, match="143"):
        train(stopped, gather(stopped), Recipe.by_size(100))
    assert (tmp_path / "mine" / "model.safetensors").read_text() == "of an earlier run"
    monkeypatch.setattr("lightning.pytorch.Trainer.fit", lambda *_, **__: None)
    assert load(train(stopped, gather(stopped), Recipe.by_size(100))).details["temperature"] == "1.5"


def test_the_gentlest_weights_are_between_those_before_and_after(weights, labelled, monkeypatch):
    """Of means that read new lines as well, the one nearest to before; all that was learnt where none does, or nothing
    was forgotten."""
    before, after = load(weights), load(weights)
    for tensor in after.network.state_dict().values():
        tensor += 1
    place = "decoder.embedding.weight"
    start = before.network.state_dict()[place].clone()

    def chosen(errors, lines=300):
        read = iter(errors)
        monkeypatch.setattr("ocrformer.training.interpolation._error", lambda *_: next(read))
        found = gentlest(before, after, [(np.zeros((32, 9), np.uint8), "x")] * lines, [])
        return found.details["share"], (found.network.state_dict()[place] - start).mean().item()

    forgetful = [0.53, 0.50]  # on old lines, after and before
    assert chosen([*forgetful, 0.10, 0.11]) == ("0.7", pytest.approx(0.7, abs=1e-5))
    assert chosen([*forgetful, 0.10, 0.13, 0.12, 0.114]) == ("0.9", pytest.approx(0.9, abs=1e-5))
    assert chosen([*forgetful, 0.10, 0.13, 0.12, 0.12]) == ("1.0", pytest.approx(1.0, abs=1e-5))
    assert chosen([0.505, 0.50]) == ("1.0", pytest.approx(1.0, abs=1e-5))
    assert chosen([], lines=60) == ("1.0", pytest.approx(1.0, abs=1e-5))
    after = replace(after, charset=after.charset.extend("β"))
    assert chosen([]) == ("1.0", pytest.approx(1.0, abs=1e-5))


def test_weights_that_learnt_nothing_stay_as_they_are(weights, labelled):
    lines = [(prepare(sample.open(), 32, sample.name), sample.text) for sample in load_samples(labelled)]
    found = gentlest(load(weights), load(weights), lines * 20, lines)
    assert found.details["share"] == "1.0"
    before = load(weights).network.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in found.network.state_dict().items())


@pytest.mark.parametrize(("old", "kept"), [(0.10, [0.20, 0.15, 0.10]), (0.20, [0.20])], ids=["remembered", "forgotten"])
def test_the_best_weights_are_kept(tmp_path, old, kept):
    """Fewer errors on new lines are better unless the old ones are forgotten; what gets worse again is not kept."""
    log = tmp_path / "log"
    log.mkdir()
    keeper = KeepBest(tmp_path / "model.safetensors")
    trainer = SimpleNamespace(log_dir=log, global_step=0, max_steps=100, should_stop=False, callback_metrics={})
    seen = []
    for step, new in enumerate((0.20, 0.15, 0.10, 0.18)):
        (log / "last.safetensors").write_text(f"{new}")
        before = 0.10 if step == 0 else old
        pairs = {"new/cer": new, "new/cer_ctc": new, "old/cer": before, "old/cer_ctc": before}
        trainer.callback_metrics = {name: torch.tensor(value) for name, value in pairs.items()}
        keeper.on_validation_end(trainer, None)
        seen.append(float((tmp_path / "model.safetensors").read_text()) if step and kept[1:] else 0.20)
    assert list(dict.fromkeys(seen)) == kept
    assert (tmp_path / "model.safetensors").exists() == (len(kept) > 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-c", "configs/tiny.yaml", "--steps", 3], "--steps is for fine-tuning"),
        (["-c", "configs/none.yaml"], "configs/none.yaml: no such file; the package brings tiny"),
        (["-c", "configs/tiny.yaml", "--data.synthetic.txt", "x"], "unrecognized arguments: --data.synthetic.txt"),
        (["-c", "configs/tiny.yaml", "--fonts", "no-such-fonts", "--trainer.accelerator", "cpu"], "no such font"),
        (["--init", "default", "--data", "no-such-lines"], "no such file or folder"),
        (["--init", "default"], "nothing to learn from"),
        (["--init", "default", "-c", "configs/tiny.yaml"], "no options of it: configs/tiny.yaml"),
        (["--data", "samples", "--workers", "-1"], "Invalid value for '--workers'"),
        (["--init", "default", "--max-time", "20min"], "expected DD:HH:MM:SS"),
        (["--init", "default", "--text", "samples/book-1.png"], "book-1.png: no UTF-8 text"),
    ],
)
def test_wrong_use_is_a_sentence(arguments, sentence, tmp_path):
    done = run(*arguments, *(() if "-c" in arguments else ("-o", tmp_path / "mine")))
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr


def test_korean_texts_for_replay_want_a_font(weights, fonts, labelled, tmp_path):
    (tmp_path / "ko.txt").write_text("안녕하세요 반갑습니다\n" * 20, "utf-8")
    with pytest.raises(FontError, match=r"ko\.txt is Korean, and no font has Hangul: .* --general-fonts"):
        gather(task(weights, fonts, data=[str(labelled)], general_text=[str(tmp_path / "ko.txt")]))
