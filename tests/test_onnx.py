"""The encoder exported to ONNX: it reads what torch reads, and only beside its own weights."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ocrformer import DecodeOptions, OCRformer
from ocrformer.cli import main
from ocrformer.datasets import load_samples
from ocrformer.model.frozen import frozen
from ocrformer.model.network import WeightsError, save
from ocrformer.onnx_encoder import OnnxEncoder, choose_encoder
from tests.conftest import ROOT, tiny_bundle

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small model, and its encoder beside it."""
    path = tmp_path_factory.mktemp("onnx") / "tiny.safetensors"
    save(path, tiny_bundle(seed=3))
    result = CliRunner().invoke(main, ["export", "--model", str(path)])
    assert result.exit_code == 0, result.output
    assert path.with_suffix(".onnx").is_file() and "MB" in result.output
    return path


def test_graph_computes_what_torch_computes_for_any_batch_and_width(weights):
    reader = OCRformer.from_pretrained(weights, "cpu", "onnx")
    eager = frozen(reader.network, torch.float32)
    for batch, width in ((1, 8), (3, 100), (5, 1600)):
        images = torch.randint(0, 256, (batch, 1, 32, width), dtype=torch.uint8)
        widths = torch.randint(1, width + 1, (batch,))
        with torch.inference_mode():
            one, (other,) = eager.encode(images, widths), reader.recogniser.encode([(images, widths)])
        assert torch.equal(one.mask, other.mask) and torch.equal(one.frames, other.frames)
        for row, frames in enumerate(one.frames.tolist()):
            assert torch.allclose(one.ctc[row, :frames], other.ctc[row, :frames], atol=1e-3)
        assert torch.allclose(one.memory[one.mask], other.memory[one.mask], atol=1e-3)


@pytest.mark.parametrize("mode", ["joint", "draft", "greedy", "ctc", "beam"])
def test_every_mode_reads_by_it(weights, mode):
    pictures = [np.random.default_rng(n).integers(0, 256, (32, 40 + 9 * n), dtype=np.uint8) for n in range(6)]
    reader = OCRformer.from_pretrained(weights, "cpu", str(weights.with_suffix(".onnx")))
    together = [line.text for line in reader.read(pictures, DecodeOptions(mode=mode))]
    assert together == [reader.read([picture], DecodeOptions(mode=mode))[0].text for picture in pictures]


def test_a_place_that_cannot_be_written_is_said_before_the_work(weights, tmp_path):
    result = CliRunner().invoke(main, ["export", "--model", "."])
    assert result.exit_code == 2 and "Error: " in result.output
    result = CliRunner().invoke(main, ["export", "--model", str(weights), "-o", str(tmp_path)])
    assert result.exit_code == 2 and "is a folder; name a file in it" in result.output
    assert not list(tmp_path.parent.glob("*.part"))


def test_default_weights_read_the_samples_alike(tmp_path):
    target = tmp_path / "default.onnx"
    assert CliRunner().invoke(main, ["export", "-o", str(target)]).exit_code == 0
    pictures = [sample.name for sample in load_samples(ROOT / "samples")]
    by_torch = OCRformer.from_pretrained(device="cpu", runtime="float32").read(pictures)
    by_onnx = OCRformer.from_pretrained(device="cpu", runtime=str(target)).read(pictures)
    assert [line.text for line in by_onnx] == [line.text for line in by_torch]
    arguments = ["read", "--runtime", str(target), "--format", "txt", pictures[0]]
    assert CliRunner().invoke(main, arguments).output.strip().endswith(by_torch[0].text)


def test_eight_bits_stay_near(weights, tmp_path):
    small = tmp_path / "small.onnx"
    assert CliRunner().invoke(main, ["export", "--model", str(weights), "-o", str(small), "--int8"]).exit_code == 0
    network = OCRformer.from_pretrained(weights, "cpu", "torch").network
    images, widths = torch.randint(0, 256, (2, 1, 32, 200), dtype=torch.uint8), torch.tensor([200, 200])
    (exact,), (near,) = (
        OnnxEncoder(path, network)([(images, widths)]) for path in (weights.with_suffix(".onnx"), small)
    )
    assert 0 < (exact.ctc - near.ctc).abs().mean() < 0.1 * exact.ctc.abs().mean()
    assert small.stat().st_size < weights.with_suffix(".onnx").stat().st_size


def test_automatic_choice(weights, tmp_path, caplog):
    network = OCRformer.from_pretrained(weights, "cpu", "torch").network
    assert choose_encoder("auto", weights, network, torch_is_fast=False) is not None
    assert choose_encoder("auto", weights, network, torch_is_fast=True) is None
    assert choose_encoder("auto", tmp_path / "lonely.safetensors", network, torch_is_fast=False) is None
    assert choose_encoder("auto", weights, tiny_bundle(seed=4).network, torch_is_fast=False) is None
    assert "exported from other weights" in caplog.text


def test_unusable_graphs_get_one_sentence(weights, tmp_path):
    with pytest.raises(WeightsError, match="no such ONNX file"):
        OCRformer.from_pretrained("default", "cpu", str(tmp_path / "missing.onnx"))
    with pytest.raises(WeightsError, match="exported from other weights"):
        OCRformer.from_pretrained("default", "cpu", str(weights.with_suffix(".onnx")))
    (tmp_path / "text.onnx").write_text("no graph")
    result = CliRunner().invoke(main, ["read", "--runtime", str(tmp_path / "text.onnx"), str(ROOT / "samples")])
    assert result.exit_code == 2 and "not a readable ONNX file" in result.output and "Traceback" not in result.output
    with pytest.raises(WeightsError, match="runs on the CPU"):
        OCRformer.from_pretrained(weights, "cuda", "onnx")
