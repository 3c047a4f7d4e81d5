"""The encoder in eight-bit integers: exact sums, near the floats, and the same for a line in any company."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ocrformer import OCRformer
from ocrformer.config import ModelConfig
from ocrformer.datasets import load_samples
from ocrformer.hardware import fast_eight_bits
from ocrformer.model import strip
from ocrformer.model.attention import FeedForward
from ocrformer.model.eight_bit import EightBitConv, EightBitFeedForward, Grid
from ocrformer.model.frozen import frozen
from ocrformer.recogniser import Recogniser
from tests.conftest import ROOT, TINY, tiny_bundle
from tests.test_model import lines

pytestmark = pytest.mark.skipif(not fast_eight_bits(torch.device("cpu")), reason="no fast integers here")


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 1)])
@torch.inference_mode()
def test_sums_are_exact_at_their_greatest(stride):
    """Equal to integers summed in 64 bits: nothing overflows on this processor."""
    draw = torch.Generator().manual_seed(1)
    conv = nn.Conv2d(16, 24, 3, stride, padding=1)
    conv.weight.copy_(torch.where(torch.rand(conv.weight.shape, generator=draw) < 0.5, -63.0, 63.0))
    conv.bias.zero_()
    x = torch.where(torch.rand(2, 16, 8, 12, generator=draw) < 0.9, 255, 254).to(torch.uint8)
    expected = F.conv2d(x.long().double(), conv.weight.double(), stride=stride, padding=1)
    one = EightBitConv(conv, Grid(1.0, 0), Grid(1024.0, 0))
    got = one(x.contiguous(memory_format=torch.channels_last))
    assert torch.equal(got.double(), (expected / 1024).round().clamp(0, 255))


@torch.inference_mode()
def test_feed_forward_stays_near():
    torch.manual_seed(2)
    floats, norm, x = FeedForward(64, 256), nn.LayerNorm(64), 3 * torch.randn(50, 64)
    norm.weight.uniform_(0.5, 2)
    norm.bias.uniform_(-1, 1)
    expected, got = floats(norm(x)), EightBitFeedForward(floats, norm)(norm(x))
    assert 0 < (got - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("rows", (1, 2))
@torch.inference_mode()
def test_company_changes_no_feature(rows):
    network = frozen(
        tiny_bundle(ModelConfig(**TINY.to_dict() | {"rows": rows})).network, torch.float32, eight_bits=True
    )
    batches = [lines([200, 193], 208, seed=1), lines([64], 64, seed=2), lines([5, 16, 9], 16, seed=3)]
    for batch, encoded in zip(batches, strip.encode(network, batches), strict=True):
        alone = network.encode(*batch)
        assert torch.equal(encoded.mask, alone.mask)
        assert torch.allclose(encoded.memory[encoded.mask], alone.memory[alone.mask], atol=1e-4)


def test_default_weights_read_the_samples_alike():
    pictures = [sample.name for sample in load_samples(ROOT / "samples")]
    exact, near = (
        OCRformer.from_pretrained(device="cpu", runtime=name).read(pictures) for name in ("float32", "torch")
    )
    assert [line.text for line in near] == [line.text for line in exact]
    apart = [abs(one.confidence - other.confidence) for one, other in zip(near, exact, strict=True)]
    assert 0 < max(apart) < 0.2  # of a line in doubt, read with half of the probability
    assert sum(apart) / len(apart) < 0.02


def test_only_where_it_is_fast_and_not_if_floats_are_asked_for(monkeypatch):
    assert "eight-bit" in Recogniser(tiny_bundle()).arithmetic
    assert not Recogniser(tiny_bundle(), plain=True).eight_bits
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    plain = Recogniser(tiny_bundle())
    assert not plain.eight_bits
    assert plain.precision == torch.float32
