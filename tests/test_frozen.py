"""The network as reading uses it: the same results as in training's form."""

import pytest
import torch

from ocrformer.config import ModelConfig
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
