"""The network as reading uses it: the same results as in training's form."""

import pytest
import torch

from ocrformer.config import ModelConfig
from ocrformer.model import strip
from ocrformer.model.frozen import frozen
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


def apart(encoded):
    """Memory, mask, CTC logits and frames of each line."""
    return zip(encoded.memory, encoded.mask, encoded.ctc, encoded.frames, strict=True)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", (1, 2))
@torch.inference_mode()
def test_side_by_side_equals_each_batch_alone(rows, precision):
    bundle = tiny_bundle(ModelConfig(**TINY.to_dict() | {"rows": rows}))
    network, tolerance = frozen(bundle.network, precision), 1e-4 if precision == torch.float32 else 0.05
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
