"""The network as reading uses it: the same results as in training's form."""

import pytest
import torch
from torch import nn

from ocrformer.config import ModelConfig
from ocrformer.hardware import fast_bfloat16
from ocrformer.model import strip
from ocrformer.model.attention import Packing
from ocrformer.model.decoder import Decoder
from ocrformer.model.frozen import frozen, judge
from ocrformer.model.packed import PackedLinear, pack
from tests.conftest import TINY, tiny_bundle
from tests.test_model import lines


@pytest.mark.parametrize("rows", (1, 2))
@torch.inference_mode()
def test_folded_equals_plain(rows):
    network = tiny_bundle(ModelConfig(**TINY.to_dict() | {"rows": rows})).network
    images, widths = lines([37, 200, 64, 5, 131], 224)
    plain, folded = network.encode(images, widths), frozen(network, torch.float32).encode(images, widths)
    assert torch.allclose(folded.ctc, plain.ctc, atol=1e-4)
    assert torch.allclose(folded.memory, plain.memory, atol=1e-4)


@torch.inference_mode()
def test_only_the_decoder_proper_stays_in_single_precision(bundle):
    network = frozen(bundle.network, torch.bfloat16)
    encoded = network.encode(*lines([37, 200], 224))
    memory = network.decoder.remember(encoded.memory, encoded.mask)
    assert encoded.ctc.dtype == memory.keys[0].dtype == torch.bfloat16
    assert network.decoder(torch.tensor([[1], [1]]), memory.float()).dtype == torch.float32


def test_the_network_itself_is_left_as_it_was(bundle):
    before = {name: tensor.clone() for name, tensor in bundle.network.state_dict().items()}
    frozen(bundle.network, torch.bfloat16)
    assert all(torch.equal(tensor, before[name]) for name, tensor in bundle.network.state_dict().items())
    assert all(parameter.requires_grad for parameter in bundle.network.parameters())


TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.0 if fast_bfloat16(torch.device("cpu")) else 0.05}
"""What processors that multiply bfloat16 read on a strip has the bits that it has in a batch of its own."""


def apart(encoded):
    """Memory, mask, CTC logits and frames of each line."""
    return zip(encoded.memory, encoded.mask, encoded.ctc, encoded.frames, strict=True)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", (1, 2))
@torch.inference_mode()
def test_side_by_side_equals_each_batch_alone(rows, precision):
    bundle = tiny_bundle(ModelConfig(**TINY.to_dict() | {"rows": rows}))
    network, tolerance = frozen(bundle.network, precision), TOLERANCE[precision]
    batches = [lines([200, 193], 208, seed=1), lines([64], 64, seed=2), lines([5, 16, 9], 16, seed=3)]
    batches += [lines([4000] * 3, 4096, seed=4), lines([31], 32, seed=5)]  # past the longest strip
    batches += [lines([300] * 40, 304, seed=6)]  # one and a half strips
    together = [line for encoded in strip.encode(network, batches) for line in apart(encoded)]
    alone = [line for batch in batches for line in apart(network.encode(*batch))]
    for (memory, mask, ctc, frames), (its_memory, its_mask, its_ctc, its_frames) in zip(together, alone, strict=True):
        assert torch.equal(mask, its_mask) and frames == its_frames
        assert torch.allclose(memory[mask], its_memory[mask], atol=tolerance)
        assert torch.allclose(ctc[:frames], its_ctc[:frames], atol=tolerance)


@torch.inference_mode()
def test_a_neighbour_on_the_strip_is_not_seen(bundle):
    network = frozen(bundle.network, torch.bfloat16)
    line, others = lines([64], 64, seed=1), [lines([32, 30], 32, seed=seed) for seed in (2, 3)]
    one, two = [strip.encode(network, [other, line, other])[1] for other in others]
    assert torch.equal(one.memory, two.memory) and torch.equal(one.ctc, two.ctc)


@pytest.mark.skipif(not fast_bfloat16(torch.device("cpu")), reason="no fast bfloat16 here")
@torch.inference_mode()
def test_packed_weights_give_the_same_bits():
    torch.manual_seed(5)
    layers = nn.Sequential(nn.Linear(192, 768), nn.GELU(), nn.Linear(768, 41, bias=False)).bfloat16()
    inputs = [torch.randn(rows, 192).bfloat16() for rows in (1, 24, 1000)]
    plain = [layers(x) for x in inputs]
    pack(layers)
    assert isinstance(layers[0], PackedLinear) and isinstance(layers[2], PackedLinear)
    assert all(torch.equal(layers(x), was) for x, was in zip(inputs, plain, strict=True))
    assert torch.equal(layers(inputs[2].view(10, 100, 192)), plain[2].view(10, 100, 41))


def test_only_linear_layers_in_bfloat16_are_packed():
    layers = [nn.Linear(8, 8), nn.Conv2d(8, 8, 1).bfloat16(), nn.LayerNorm(8).bfloat16()]
    module = nn.ModuleList(layers)
    pack(module)
    assert list(module) == layers


def shaken(vocabulary=50):
    """A decoder of three heads whose biases are not the zeros they begin as."""
    torch.manual_seed(3)
    decoder = Decoder(ModelConfig(**TINY.to_dict() | {"d_model": 192}), vocabulary).eval()
    for name, parameter in decoder.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    return decoder.requires_grad_(False)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@torch.inference_mode()
def test_a_judge_looks_at_the_memory_itself_and_sees_what_the_decoder_sees(precision):
    decoder = shaken()
    memory, tokens = torch.randn(4, 24, 192), torch.randint(2, 50, (4, 8))
    mask = torch.arange(24) < torch.tensor([24, 7, 16, 1])[:, None]
    hasty = judge(decoder, precision)
    remembered = hasty.remember(memory.to(precision), mask)
    for one in (remembered, remembered.select(torch.tensor([2, 0]))):
        assert len({part.data_ptr() for part in (*one.keys, *one.values)}) == 1
    plain = decoder(tokens, decoder.remember(memory, mask))
    tolerance = 1e-4 if precision == torch.float32 else 0.1
    assert torch.allclose(hasty(tokens, remembered), plain, atol=tolerance)
    real = torch.arange(8) < torch.tensor([8, 1, 5, 3])[:, None]
    packed = hasty(tokens, remembered, caches=hasty.new_caches(), packing=Packing.of(real, 32))  # 17 and 15 repeats
    assert torch.allclose(packed[:17], plain[real], atol=tolerance)
