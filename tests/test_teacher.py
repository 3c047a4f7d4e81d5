"""Networks that imitate another one's readings, and weights made ready for another shape."""

import copy
import subprocess
import sys

import pytest
import torch

from ocrformer.charset import Charset
from ocrformer.model.network import load
from ocrformer.reader import weights_path
from ocrformer.training.batches import to_batch
from ocrformer.training.lines import Key, LineFactory, Voice
from ocrformer.training.teacher import Teacher
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def default():
    return load(weights_path("default"))


@pytest.fixture(scope="module")
def batch(source, faces):
    factory = LineFactory([Voice(1.0, source, faces)], 32)
    return to_batch([factory(Key(1, 0, slot, 160)) for slot in range(6)])


def test_distance_is_small_for_the_teacher_itself_and_great_for_another(default, batch):
    teacher = Teacher("default", default.charset)
    with torch.no_grad():
        logits = default.network.encode(batch.images, batch.widths, offset=7).ctc
    own = teacher.distance(logits, batch, 7)  # the teacher computes in integers where it can
    assert 0 <= own < 0.02
    assert teacher.distance(torch.zeros_like(logits), batch, 7) > 1
    beyond = logits.clone()
    for row, width in enumerate(batch.widths):
        beyond[row, (width + 3) // 4 :] = 9.0
    assert torch.allclose(teacher.distance(beyond, batch, 7), own)


def test_a_teacher_is_shared_and_speaks_the_same_charset(default):
    teacher = Teacher("default", default.charset)
    assert copy.deepcopy([teacher])[0] is teacher
    with pytest.raises(ValueError, match="charset"):
        Teacher("default", Charset("abc"))


def test_weights_of_two_rows_become_weights_of_one(tmp_path, default):
    made = tmp_path / "start.safetensors"
    command = [sys.executable, str(ROOT / "tools" / "reshape.py")]
    subprocess.run([*command, "default", str(made), "--encoder-layers", "3"], check=True, cwd=ROOT, timeout=120)
    new = load(made)
    assert (new.network.config.rows, new.network.config.encoder_layers) == (1, 3)
    assert new.charset.characters == default.charset.characters
    images, widths = torch.randint(0, 256, (2, 1, 32, 96), dtype=torch.uint8), torch.tensor([96, 64])
    with torch.no_grad():
        tokens, mask = new.network.look(images, widths)
        two_layers = copy.deepcopy(new.network.encoder)
        del two_layers.layers[2]
        assert torch.equal(new.network.encoder(tokens, mask), two_layers(tokens, mask))
    refused = subprocess.run([*command, str(made), str(made)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1
    assert "two rows" in refused.stderr
