"""Properties of the Transformer parts and of the network as a whole."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from ocrformer.charset import BOS
from ocrformer.image import PAPER
from ocrformer.model.attention import KVCache, MultiHeadAttention, Packing, _portions
from ocrformer.model.decoder import Decoder
from ocrformer.model.encoder import Encoder
from ocrformer.model.network import load, save
from ocrformer.model.positions import positions_1d, positions_2d
from tests.conftest import TINY, tiny_bundle


def lines(widths, padded, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.full((len(widths), 1, 32, padded), PAPER, dtype=torch.uint8)
    for row, width in enumerate(widths):
        own = torch.Generator().manual_seed(int(torch.randint(1 << 30, (1,), generator=generator)))
        images[row, :, :, :width] = torch.randint(100, 256, (1, 32, width), generator=own, dtype=torch.uint8)
    return images, torch.tensor(widths)


# Positions


def test_positions_have_equal_norm():
    table = positions_1d(200, 64)
    assert torch.allclose(table.norm(dim=-1), torch.full((200,), math.sqrt(32)), atol=1e-4)
    grid = positions_2d(2, 50, 64)
    assert torch.allclose(grid.norm(dim=-1), torch.full((2, 50), math.sqrt(32)), atol=1e-4)


def test_distance_between_positions_grows_over_the_first_steps():
    table = positions_1d(100, 64)
    distance = (table - table[0]).norm(dim=-1)
    assert (distance[1:4] > distance[:3]).all()
    assert torch.allclose((table[10] - table[13]).norm(), (table[50] - table[53]).norm(), atol=1e-4)


def test_offset_shifts_positions():
    assert torch.allclose(positions_1d(10, 32, offset=7), positions_1d(17, 32)[7:])
    assert torch.allclose(positions_2d(2, 5, 32, offset=3), positions_2d(2, 8, 32)[:, 3:])


def test_row_and_column_have_their_own_halves():
    grid = positions_2d(2, 6, 32)
    assert torch.equal(grid[0, 0, :16], grid[0, 5, :16])
    assert torch.equal(grid[0, 3, 16:], grid[1, 3, 16:])


# Attention


def test_attention_is_scaled_dot_product():
    torch.manual_seed(0)
    attention = MultiHeadAttention(64, 1)
    x = torch.randn(1, 5, 64)
    keys, values = attention.project(x)
    query = attention.split(attention.query(x))
    weights = (query @ keys.transpose(-1, -2) / math.sqrt(64)).softmax(dim=-1)
    expected = attention.output((weights @ values).transpose(1, 2).flatten(2))
    assert torch.allclose(attention(x, keys, values), expected, atol=1e-5)


@torch.no_grad()
def test_explained_passes_equal_plain_ones(bundle):
    decoder = bundle.network.decoder
    encoded = bundle.network.encode(*lines([80, 61], 80))
    memory = decoder.remember(encoded.memory, encoded.mask)
    tokens = torch.randint(3, len(bundle.charset), (2, 7))
    logits, attention = decoder.explained(tokens, memory)
    assert torch.allclose(logits, decoder(tokens, memory), atol=1e-4)
    for weights in attention:
        assert torch.allclose(weights.sum(dim=-1), torch.ones(weights.shape[:3]), atol=1e-5)
        assert weights[1, :, :, ~encoded.mask[1]].abs().max() == 0


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_bfloat16_matrices_is_the_same_attention(masked, causal):
    """What CPUs do for speed, against torch's own attention in float32."""
    torch.manual_seed(0)
    attention = MultiHeadAttention(128, 2)
    x, memory = torch.randn(3, 7, 128), torch.randn(3, 9, 128)
    mask = (torch.arange(9)[None] < torch.tensor([[9], [4], [1]]))[:, None, None] if masked else None
    with torch.no_grad():
        expected = attention(x, *attention.project(memory), mask=mask, causal=causal)
        attention.bfloat16()
        got = attention(x.bfloat16(), *attention.project(memory.bfloat16()), mask=mask, causal=causal)
    explained, weights = attention.float().explained(x, *attention.project(memory), mask=mask, causal=causal)
    assert torch.allclose(expected, got.float(), atol=0.03)
    assert torch.allclose(expected, explained, atol=0.03)  # its weights were rounded to bfloat16
    assert not masked or weights[1, :, :, 4:].abs().max() == 0


@given(st.integers(1, 300), st.sampled_from([1, 3]), st.integers(1, 90))
def test_attention_takes_lines_in_few_numbers_at_a_time(count, unit, most):
    """Each shape costs a CPU a new kernel."""
    portions = list(_portions(count, unit, most))
    assert [i for part in portions for i in range(part.start, part.stop)] == list(range(count * unit))
    assert {part.stop - part.start for part in portions} <= {size * unit for size in (1, 4, 16, 64) if size <= most}


@torch.inference_mode()
def test_packed_tokens_get_the_logits_they_get_with_padding():
    torch.manual_seed(0)
    decoder = Decoder(TINY, 40).eval()
    memory = decoder.remember(torch.randn(3, 10, 64), torch.ones(3, 10, dtype=torch.bool))
    tokens = torch.randint(3, 40, (3, 8))
    expected = decoder(tokens, memory)
    caches = decoder.new_caches()
    for spans in ([(0, 3), (0, 5)], [(2, 8), (5, 7), (0, 4)]):  # the first two lines go on, one from further back
        real = torch.zeros(3, 8, dtype=torch.bool)
        for row, (start, end) in enumerate(spans):
            real[row, start:end] = True
        packing = Packing.of(real, 16)
        assert len(packing.index) == 16
        got = decoder(tokens, memory, caches=caches, packing=packing)
        wanted = torch.cat([expected[row, start:end] for row, (start, end) in enumerate(spans)])
        assert torch.allclose(got[: len(wanted)], wanted, atol=1e-4)


def test_cache_grows_and_selects():
    cache = KVCache()
    first = torch.randn(2, 1, 1, 64)
    cache.append(first, first)
    keys, _ = cache.append(first + 1, first + 1)
    assert keys.shape == (2, 1, 2, 64)
    picked = cache.select(torch.tensor([1, 1, 0]))
    assert picked.keys is not None and torch.equal(picked.keys[2], keys[0])
    assert KVCache().select(torch.tensor([0])).keys is None


def test_encoder_without_positions_is_permutation_equivariant_and_with_them_is_not():
    torch.manual_seed(0)
    encoder = Encoder(TINY).eval()
    x = torch.randn(1, 12, 64)
    order = torch.randperm(12)
    assert torch.allclose(encoder(x)[:, order], encoder(x[:, order]), atol=1e-5)
    table = positions_1d(12, 64)
    assert not torch.allclose(encoder(x + table)[:, order], encoder(x[:, order] + table), atol=1e-2)


def test_encoder_ignores_masked_tokens():
    torch.manual_seed(0)
    encoder = Encoder(TINY).eval()
    x = torch.randn(2, 10, 64)
    mask = torch.arange(10)[None].expand(2, -1) < 7
    changed = x.clone()
    changed[:, 7:] = 100.0
    assert torch.allclose(encoder(x, mask)[:, :7], encoder(changed, mask)[:, :7], atol=1e-5)


# Decoder


@torch.no_grad()
def test_masking_hides_later_tokens(bundle):
    network = bundle.network
    encoded = network.encode(*lines([80], 80))
    memory = network.decoder.remember(encoded.memory, encoded.mask)
    tokens = torch.randint(3, len(bundle.charset), (1, 9))
    changed = tokens.clone()
    changed[:, 5:] = 7
    assert torch.allclose(network.decoder(tokens, memory)[:, :5], network.decoder(changed, memory)[:, :5], atol=1e-5)
    assert not torch.allclose(
        network.decoder(tokens, memory)[:, 5:], network.decoder(changed, memory)[:, 5:], atol=1e-2
    )


@torch.no_grad()
def test_teacher_forced_logits_equal_step_by_step_logits(bundle):
    decoder = bundle.network.decoder
    encoded = bundle.network.encode(*lines([80, 61], 80))
    memory = decoder.remember(encoded.memory, encoded.mask)
    tokens = torch.randint(3, len(bundle.charset), (2, 12))
    tokens[:, 0] = BOS
    at_once = decoder(tokens, memory)
    caches = decoder.new_caches()
    stepwise = [decoder(tokens[:, t : t + 1], memory, caches=caches, position=t) for t in range(12)]
    assert torch.allclose(at_once, torch.cat(stepwise, dim=1), atol=1e-4)


# Network


@pytest.mark.parametrize("rows", [1, 2])
@torch.no_grad()
def test_padding_and_company_never_change_a_result(rows):
    from dataclasses import replace

    network = tiny_bundle(replace(TINY, rows=rows)).network
    images, widths = lines([75, 140, 33], 160)
    together = network.encode(images, widths)
    for row, width in enumerate(widths.tolist()):
        alone = network.encode(images[row : row + 1, :, :, :width], widths[row : row + 1])
        frames = int(alone.frames)
        assert frames == -(-width // 4)
        assert torch.allclose(alone.ctc[0], together.ctc[row, :frames], atol=2e-4)


@torch.no_grad()
def test_shapes(bundle):
    images, widths = lines([100, 57], 100)
    tokens = torch.randint(3, len(bundle.charset), (2, 6))
    ctc, logits, attention = bundle.network(images, widths, tokens)
    assert [weights.shape for weights in attention] == [(2, 1, 6, 50)] * 2
    assert ctc.shape == (2, 25, len(bundle.charset))
    assert logits.shape == (2, 6, len(bundle.charset))
    encoded = bundle.network.encode(images, widths)
    assert encoded.memory.shape == (2, 2 * 25, 64)
    assert encoded.mask.sum(dim=1).tolist() == [50, 30]


def test_every_parameter_learns(bundle):
    network = tiny_bundle(seed=3).network.train()
    images, widths = lines([100, 57], 100)
    tokens = torch.randint(3, len(bundle.charset), (2, 6))
    ctc, logits, _ = network(images, widths, tokens)
    (ctc.square().mean() + F.cross_entropy(logits.flatten(0, 1), tokens.flatten())).backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # a bias of the keys shifts all scores of a softmax alike, so half of key_value.bias may stay idle, never all of it
    assert not idle


# Weights file


def test_weights_file_round_trip(tmp_path, bundle):
    path = tmp_path / "w.safetensors"
    save(path, type(bundle)(bundle.network, bundle.charset, {"name": "test"}))
    loaded = load(path)
    assert loaded.charset == bundle.charset
    assert loaded.network.config == bundle.network.config
    assert loaded.details == {"name": "test"}
    images, widths = lines([100], 100)
    with torch.no_grad():
        before, after = bundle.network.encode(images, widths), loaded.network.encode(images, widths)
    assert torch.allclose(before.ctc, after.ctc, atol=0.05)  # half precision on disk
    assert not loaded.network.training


def test_lines_are_not_changed_in_place(bundle):
    images, widths = lines([50], 64)
    before = images.clone()
    bundle.network.encode(images, widths)
    assert np.array_equal(images.numpy(), before.numpy())
