"""Weights files: what is in them, and one sentence for each that cannot be used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ocrformer import OCRformer
from ocrformer.charset import Charset
from ocrformer.model.network import WeightsError, load, save


def test_weights_file_holds_no_pickle(tmp_path, bundle):
    path = tmp_path / "w.safetensors"
    save(path, bundle)
    sizes = {name: tensor.dtype for name, tensor in load_file(path).items()}
    assert sizes["decoder.embedding.weight"] == torch.float16
    assert sizes["encoder.norm.weight"] == torch.float32
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such weights file"), (b"", "not a readable"), (b"\x80\x04pickle", "not a readable")],
)
def test_unusable_weights_get_one_sentence(tmp_path, content, says):
    path = tmp_path / "w.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        load(path)


@pytest.mark.parametrize("temperature", ["warm", 0, -1.5, "nan"])
def test_a_temperature_that_is_none_is_refused(tmp_path, bundle, temperature):
    save(tmp_path / "w.safetensors", replace(bundle, details={"temperature": temperature}))
    with pytest.raises(WeightsError, match=r"w\.safetensors: weights do not fit"):
        load(tmp_path / "w.safetensors")


def test_a_charset_without_a_space_reads(tmp_path, bundle):
    tight = replace(bundle, charset=Charset("\u2603" + bundle.charset.characters.replace(" ", "")))
    (line,) = OCRformer(tight).read([np.zeros((32, 90), np.uint8)])
    assert " " not in line.text


def test_foreign_and_mismatched_weights(tmp_path, bundle):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="not OCRformer weights"):
        load(path)
    save(path, bundle)
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    del tensors["encoder.norm.weight"]
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"encoder\.norm\.weight"):
        load(path)
    metadata["config"] = metadata["config"].replace("rows", "rowz")
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(WeightsError, match="rowz"):
        load(path)
