"""Fixtures: a tiny network with fixed random weights, fonts from a package, real lines when they are at hand."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ocrformer.charset import Charset
from ocrformer.config import ModelConfig
from ocrformer.model.network import Bundle, Network, save
from ocrformer.training.fonts import Face, load_faces
from ocrformer.training.text import TextSource

ROOT = Path(__file__).parent.parent
TINY = ModelConfig(
    channels=(8, 16, 24), blocks=(1, 1, 0), d_model=64, encoder_layers=2, decoder_layers=2, feed_forward=96
)


def tiny_bundle(config: ModelConfig = TINY, seed: int = 0) -> Bundle:
    torch.manual_seed(seed)
    charset = Charset.default()
    network = Network(config, len(charset))
    for module in network.modules():  # running statistics as after training, so that eval mode is not the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.3, 0.3)
    return Bundle(network.eval(), charset, {})


def writing_bundle(seed: int = 2) -> Bundle:
    """Random weights that are bold enough to write something."""
    bundle = tiny_bundle(seed=seed)
    bundle.network.ctc_head.weight.data *= 8
    bundle.network.decoder.embedding.weight.data *= 4
    return bundle


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> str:
    """A weights file that writes something."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(path, writing_bundle())
    return str(path)


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return tiny_bundle()


@pytest.fixture(scope="session")
def fonts() -> Path:
    """A folder with DejaVu fonts, which matplotlib brings along."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture(scope="session")
def real_folder() -> Path | None:
    """Folders of real labelled lines beside the project, if they are there."""
    folder = Path(os.environ.get("OCRFORMER_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def real_lines(real_folder: Path | None) -> Path:
    """As `real_folder`, for tests that cannot do without: they are skipped."""
    if real_folder is None:
        pytest.skip("no real lines at hand (set OCRFORMER_DATA)")
    return real_folder


@pytest.fixture(scope="session")
def faces(fonts: Path) -> list[Face]:
    """Faces of those fonts but the mathematical symbols."""
    return load_faces([fonts], Charset.default(), exclude=["cmex", "cmsy", "cmmi"])


@pytest.fixture(scope="session")
def source() -> TextSource:
    """English texts from word frequencies."""
    return TextSource(Charset.default())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """700 pictures of all widths, a few of them broken."""
    folder = tmp_path_factory.mktemp("images")
    rng = random.Random(0)
    for index in range(700):
        path = folder / f"{index:04d}.png"
        if index % 97 == 5:
            path.write_bytes(b"\x89PNG broken")
        else:
            pixels = np.full((20, rng.randint(20, 400)), 255, np.uint8)
            pixels[5:15, 3:-3:7] = 0
            Image.fromarray(pixels).save(path)
    return folder
