"""Attention as arrays and as pictures."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, ImageDraw

from ocrformer import VIEWS, Attention, DecodeOptions, ImageError, OCRformer, attention_pictures
from ocrformer.attention_map import attend
from ocrformer.cli import main
from ocrformer.model.network import save
from tests.conftest import writing_bundle


@pytest.fixture(scope="module")
def reader():
    return OCRformer(writing_bundle())


@pytest.fixture(scope="module")
def image():
    picture = Image.new("L", (200, 32), 255)
    ImageDraw.Draw(picture).text((5, 2), "some line of text", fill=0, font_size=22)
    return picture


@pytest.fixture(scope="module")
def attention(reader, image):
    return reader.attend(image, DecodeOptions(mode="ctc"))  # one look at the picture as it is


def test_shapes(attention):
    count = len(attention.characters)
    assert count > 3
    layers, heads = 2, 1
    assert attention.picture.shape == (layers, heads, count + 1, 2, 50)
    assert attention.own.shape == (layers, heads, count + 1, count + 1)
    assert attention.encoder.shape == (layers, heads, 100, 100)
    assert attention.maps().shape == (count, 2, 50)
    assert attention.maps(layer=1, head=0).shape == (count, 2, 50)


def test_every_distribution_sums_to_one(attention):
    for weights in (attention.picture.reshape(*attention.picture.shape[:3], -1), attention.own, attention.encoder):
        assert np.allclose(weights.sum(axis=-1), 1, atol=1e-4)


def test_nobody_sees_the_future(attention):
    count = len(attention.characters) + 1
    assert np.allclose(attention.own[..., *np.triu_indices(count, 1)], 0)


def test_weights_are_those_that_forward_uses(reader):
    """Values weighted by the shown attention give what the attention layer gives."""
    layer = reader.network.decoder.layers[0].cross_attention
    x, memory = torch.randn(1, 4, 64), torch.randn(1, 9, 64)
    keys, values = layer.project(memory)
    mask = torch.tensor([[True] * 6 + [False] * 3])[:, None, None]
    with torch.no_grad():
        out, weights = layer.explained(x, keys, values, mask=mask)
        assert torch.allclose(out, layer(x, keys, values, mask=mask), atol=1e-5)
        assert torch.allclose(layer.output((weights @ values).transpose(1, 2).flatten(2)), out, atol=1e-5)


def test_syllables_take_the_place_of_their_jamo(reader, image):
    ids = reader.charset.encode("값a가")
    seen = attend(reader.network, reader.charset, reader.prepare(image), ids)
    assert seen.characters == ("값", "a", "가")
    assert seen.picture.shape[2] == seen.own.shape[2] == seen.own.shape[3] == 4
    assert np.allclose(seen.own.sum(axis=-1), 1, atol=1e-4)


def test_wrong_layers_and_long_lines_are_refused(reader, attention):
    with pytest.raises(ValueError, match="layer must be from 0 to 1"):
        attention.maps(layer=2)
    with pytest.raises(ValueError, match="head must be from 0 to 0"):
        attention.maps(head=1)
    with pytest.raises(ImageError, match="up to 1536 pixels"):
        reader.attend(Image.new("L", (4000, 32), 255))


def test_sheet_has_a_strip_per_character(attention):
    sheet = attention_pictures.sheet(attention)
    assert sheet.height == 72 * (len(attention.characters) + 1) + 8


def test_overlay_is_red_where_the_weight_is(attention):
    weights = np.zeros((2, 50))
    weights[:, 40] = 1
    pixels = np.asarray(attention_pictures.overlay(attention.line, weights)).astype(int)
    redness = (pixels[..., 0] - pixels[..., 1]).mean(axis=0)
    assert abs(int(redness.argmax()) - 40.5 * 8) < 12
    assert redness[:200].max() < 5


def test_animation_walks_along_the_line(attention):
    with Image.open(io.BytesIO(attention_pictures.animation(attention))) as animation:
        assert animation.n_frames == len(attention.characters)
        assert animation.info["duration"] > 0


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_has_a_sheet_and_an_animation(attention, view):
    shown = attention_pictures.strips(attention, view)
    assert len(shown) == len(attention.characters)
    assert attention_pictures.sheet(attention, view=view, layer=0, head=0).width >= max(s.width for s in shown)
    with Image.open(io.BytesIO(attention_pictures.animation(attention, view=view))) as animation:
        assert animation.n_frames == len(attention.characters)


def test_encoder_view_starts_where_the_decoder_looked(attention):
    places = attention.maps().reshape(len(attention.characters), -1).argmax(axis=1)
    maps = attention.encoder_maps(layer=1)
    assert np.allclose(maps[2].ravel(), attention.encoder[1].mean(axis=0)[places[2]])


def test_earlier_characters_are_redder_the_more_they_count(attention):
    weights = np.zeros(len(attention.characters) + 1, np.float32)
    weights[1] = 1
    pixels = np.asarray(attention_pictures._shaded(attention.characters, weights)).astype(int)
    redness = (pixels[10, :, 0] - pixels[10, :, 1]).nonzero()[0]
    assert redness.min() > 8 and redness.max() < 60  # the first character's ground, after the bar


def test_page_is_self_contained_and_holds_all_three_attentions(attention):
    page = attention_pictures.page(attention)
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    for name, weights in (("picture", attention.picture), ("own", attention.own), ("encoder", attention.encoder)):
        levels = np.frombuffer(base64.b64decode(data[name]["levels"]), np.uint8).reshape(*weights.shape[:3], -1)
        peaks = np.array(data[name]["peaks"]).reshape(*weights.shape[:3], 1)
        shown = (levels * peaks).sum(axis=(0, 1)) / 255  # as the page's script adds them up
        assert np.allclose(shown, weights.reshape(levels.shape).sum(axis=(0, 1)), atol=0.02)
    assert "http" not in page


@pytest.mark.parametrize("view", VIEWS)
def test_empty_lines_have_pictures_too(reader, image, view):
    blank = attend(reader.network, reader.charset, reader.prepare(image), [])
    assert isinstance(blank, Attention) and blank.characters == ()
    assert attention_pictures.sheet(blank, view=view).size[0] > 0
    assert attention_pictures.animation(blank, view=view).startswith(b"GIF8")
    assert "data" in attention_pictures.page(blank)


def test_command(reader, image, tmp_path):
    save(tmp_path / "w.safetensors", reader.bundle)
    image.save(tmp_path / "line.png")
    model = ["--model", str(tmp_path / "w.safetensors")]
    for kind in ("png", "gif", "html"):
        out = tmp_path / f"out.{kind}"
        result = CliRunner().invoke(main, ["attend", str(tmp_path / "line.png"), "-o", str(out), *model])
        assert result.exit_code == 0, result.output
        assert out.stat().st_size > 500
        again = CliRunner().invoke(main, ["attend", str(tmp_path / "line.png"), "-o", str(out), *model])
        assert again.exit_code == 2 and "use --overwrite" in again.output
    result = CliRunner().invoke(main, ["attend", str(tmp_path / "line.png"), "-o", str(out), "--overwrite", *model])
    assert result.exit_code == 0
    wrong = [["out.bmp"], ["out.png", "--layer", "9"], ["out.html", "--layer", "0"], [str(tmp_path / "line.png")]]
    for arguments in wrong:
        result = CliRunner().invoke(main, ["attend", str(tmp_path / "line.png"), "-o", *arguments, *model])
        assert result.exit_code == 2
    result = CliRunner().invoke(main, ["attend", "none.png", "-o", str(tmp_path / "o.png"), *model])
    assert result.exit_code == 1 and "cannot open" in result.output
