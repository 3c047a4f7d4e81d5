"""The encoder as an ONNX graph, for onnxruntime: any batch, any width."""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from ocrformer.model.frozen import frozen
from ocrformer.model.network import STRIDE, Network
from ocrformer.onnx_encoder import INPUTS, OUTPUTS, fingerprint

_OPSET = 20
_PRECISIONS = ("float32", "int8")


class _Encode(nn.Module):
    """`Network.encode` from tensors to tensors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        encoded = self.network.encode(images, widths)
        return encoded.memory, encoded.mask, encoded.ctc, encoded.frames


def export(network: Network, path: str | os.PathLike[str], *, precision: str = "float32") -> None:
    """Write the encoder (backbone, Transformer encoder, CTC head) as one ONNX file.

    Args:
        network: In eval mode, on the CPU.
        path: File to write; it names the weights it was made from, and serves no others.
        precision: `float32`, or `int8` for matrices of eight-bit integers that are scaled at run time.
    """
    if precision not in _PRECISIONS:
        raise ValueError(f"no such precision: {precision}; there are {', '.join(_PRECISIONS)}")
    target = Path(os.path.realpath(path))  # a link goes on pointing where it does
    if target.exists() and not target.is_file():
        raise OSError(f"{target} is no regular file")
    partial = target.with_name(f"{target.name}.part")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        graph = Path(folder) / "encoder.onnx"
        _trace(frozen(network, torch.float32), graph)
        _finish(graph, partial, precision, fingerprint(network))
    partial.replace(target)


def _trace(network: Network, path: Path) -> None:
    height = network.config.height
    images = torch.randint(0, 256, (2, 1, height, 16 * STRIDE), dtype=torch.uint8)
    sizes = {"images": {0: "batch", 3: STRIDE * torch.export.Dim("columns", min=2)}, "widths": {0: "batch"}}
    program = torch.onnx.export(
        _Encode(network).eval(),
        (images, torch.tensor([50, 64])),
        dynamo=True,
        dynamic_shapes=sizes,
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        opset_version=_OPSET,
        verbose=False,
    )
    assert program is not None
    program.save(str(path), external_data=False)


def _finish(graph: Path, path: Path, precision: str, made_from: str) -> None:
    """Quantise if wanted, and note what the graph was made from."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(graph)
    if precision == "int8":
        del model.graph.value_info[:]  # shapes of the exporter that the quantiser disputes
        onnx.save(model, graph)
        quantize_dynamic(
            graph,
            graph,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QInt8,
            reduce_range=True,  # seven bits: products of eight overflow on processors without VNNI
        )
        model = onnx.load(graph)
    onnx.helper.set_model_props(model, {"weights": made_from, "precision": precision})
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporter and quantiser say about themselves."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
