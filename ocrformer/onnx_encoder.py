"""The encoder run by onnxruntime, for processors on which torch is slow."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from ocrformer.model.network import Encoded, Network, WeightsError
from ocrformer.model.strip import Batch

logger = logging.getLogger(__name__)

INPUTS = ("images", "widths")
OUTPUTS = ("memory", "mask", "ctc", "frames")


class OnnxEncoder:
    """`Network.encode` by an exported graph; free of state, so that many threads may share it.

    Args:
        path: From `ocrformer export`.
        network: Whose encoder the graph must be.

    Raises:
        WeightsError: If onnxruntime or the file is missing, or the graph was made from other weights.
    """

    def __init__(self, path: str | os.PathLike[str], network: Network) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise WeightsError('onnxruntime is not installed: pip install "ocrformer[onnx]"') from None
        if not Path(path).is_file():
            raise WeightsError(
                f"{path}: no such ONNX file; `ocrformer export` writes it, and there are auto, torch, float32, onnx"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # batches run side by side instead, see workers.py
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - its exceptions have no common base
            raise WeightsError(f"{path}: not a readable ONNX file ({error})") from None
        if self._session.get_modelmeta().custom_metadata_map.get("weights") != fingerprint(network):
            raise WeightsError(f"{path}: exported from other weights; run `ocrformer export` again")

    def __call__(self, batches: Sequence[Batch]) -> list[Encoded]:
        """As `strip.encode`, batch by batch."""
        feeds = (dict(zip(INPUTS, (images.numpy(), widths.numpy()), strict=True)) for images, widths in batches)
        return [Encoded(*map(torch.from_numpy, self._session.run(OUTPUTS, feed))) for feed in feeds]


def fingerprint(network: Network) -> str:
    """A hash of a network's weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def choose_encoder(runtime: str, weights: Path, network: Network, *, torch_is_fast: bool) -> OnnxEncoder | None:
    """Who runs the encoder: an exported graph, or None for torch.

    Args:
        runtime: `torch` or `float32`; `onnx` for the ONNX file beside the weights; an ONNX file; or `auto`: the file
            beside the weights if there is one and torch is slow here.
        weights: The weights file.
        network: Loaded from it, on the CPU.
        torch_is_fast: Whether torch has something faster than float32 on this processor.

    Raises:
        WeightsError: If a graph that was asked for cannot be used.
    """
    beside = weights.with_suffix(".onnx")
    if runtime != "auto":
        return (
            None if runtime in ("torch", "float32") else OnnxEncoder(beside if runtime == "onnx" else runtime, network)
        )
    if torch_is_fast or not beside.is_file() or find_spec("onnxruntime") is None:
        return None
    try:
        return OnnxEncoder(beside, network)
    except WeightsError as error:
        logger.warning("%s; torch reads instead", error)
        return None
