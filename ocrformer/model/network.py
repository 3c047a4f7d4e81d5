"""The whole network: backbone, positions, encoder, CTC head and decoder; its weights file holds everything."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialized
from torch import Tensor, nn

from ocrformer.charset import Charset
from ocrformer.config import ModelConfig
from ocrformer.model.backbone import Backbone, inside
from ocrformer.model.decoder import Decoder
from ocrformer.model.encoder import Encoder
from ocrformer.model.positions import positions_2d

STRIDE = 4
"""Pixels per column of the feature map, and per CTC frame."""
_FORMAT = "ocrformer-1"


class WeightsError(ValueError):
    """A weights file that cannot be used, in one sentence."""


@dataclass(frozen=True)
class Encoded:
    """What the encoder makes of a batch.

    Attributes:
        memory: (B, rows * columns, d_model).
        mask: Boolean (B, rows * columns), True on tokens of the line.
        ctc: CTC logits (B, columns, V).
        frames: (B,) number of CTC frames that belong to each line.
    """

    memory: Tensor
    mask: Tensor
    ctc: Tensor
    frames: Tensor


class Network(nn.Module):
    """Line images and token ids to logits.

    Args:
        config: Shape of the network.
        vocabulary: Number of ids, special ids included.
    """

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.backbone = Backbone(config)
        self.encoder = Encoder(config)
        self.ctc_head = nn.Linear(config.rows * config.d_model, vocabulary)
        self.decoder = Decoder(config, vocabulary)

    def encode(self, images: Tensor, widths: Tensor, *, offset: int = 0) -> Encoded:
        """Read the pictures.

        Args:
            images: Prepared lines, uint8 (B, 1, height, W).
            widths: (B,) true widths in pixels.
            offset: Number of the first column for the positions; random in training.
        """
        tokens, mask = self.look(images, widths, offset=offset)
        return self.understood(self.encoder(tokens, self.token_mask(mask)), mask)

    def look(self, images: Tensor, widths: Tensor, *, offset: int = 0) -> tuple[Tensor, Tensor]:
        """What the encoder is given: tokens (B, rows * columns, d) and the column mask (B, columns)."""
        used = inside(widths, images.shape[-1])
        return self.placed(self.features(images, used), offset=offset), used[:, ::STRIDE]

    def features(self, images: Tensor, used: Tensor) -> Tensor:
        """Feature map (B, rows, columns, d) of pictures (B, 1, height, W), zero where `used` (B, W) is False."""
        out: Tensor = self.backbone(images, used).permute(0, 2, 3, 1)
        return out

    def placed(self, features: Tensor, *, offset: int = 0) -> Tensor:
        """Feature maps (B, rows, columns, d) with their positions, as tokens (B, rows * columns, d)."""
        _, rows, columns, channels = features.shape
        places = positions_2d(rows, columns, channels, offset=offset, device=features.device)
        return (features + places.to(features.dtype)).flatten(1, 2)

    def token_mask(self, mask: Tensor) -> Tensor:
        """Boolean (B, columns) -> (B, rows * columns)."""
        return mask[:, None].expand(-1, self.config.rows, -1).flatten(1)

    def understood(self, memory: Tensor, mask: Tensor) -> Encoded:
        """Memory (B, rows * columns, d) with what CTC makes of it; mask (B, columns) is False on padding."""
        return Encoded(memory, self.token_mask(mask), self.ctc_head(self.columns(memory)), mask.sum(dim=1))

    def columns(self, memory: Tensor) -> Tensor:
        """Memory (B, rows * columns, d) by columns, (B, columns, rows * d)."""
        return memory.view(len(memory), self.config.rows, -1, memory.shape[2]).transpose(1, 2).flatten(2)

    def forward(
        self, images: Tensor, widths: Tensor, tokens: Tensor, *, offsets: tuple[int, int] = (0, 0)
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Teacher-forced pass for training.

        Args:
            images: uint8 (B, 1, height, W).
            widths: (B,) true widths in pixels.
            tokens: (B, T) ids, beginning with BOS.
            offsets: First column and first token position.

        Returns:
            CTC logits (B, columns, V), decoder logits (B, T, V), and each decoder layer's attention to the picture
            (B, heads, T, rows * columns).
        """
        encoded = self.encode(images, widths, offset=offsets[0])
        memory = self.decoder.remember(encoded.memory, encoded.mask)
        logits, attention = self.decoder.explained(tokens, memory, position=offsets[1])
        return encoded.ctc, logits, attention


@dataclass(frozen=True)
class Bundle:
    """A network with all that is needed to use it, as one weights file holds it.

    Attributes:
        network: In eval mode after loading.
        charset: Meaning of the ids.
        details: Free facts about the weights: name, version, temperature, figures.
    """

    network: Network
    charset: Charset
    details: dict[str, str]


def save(path: str | os.PathLike[str], bundle: Bundle) -> None:
    """Write one safetensors file: matrices in half precision, vectors in full, configuration and charset inside.

    Raises:
        WeightsError: If it cannot be written.
    """
    tensors = {
        name: tensor.detach().cpu().to(torch.float16 if tensor.ndim > 1 else tensor.dtype).contiguous()
        for name, tensor in bundle.network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata = {
        "format": _FORMAT,
        "config": json.dumps(bundle.network.config.to_dict()),
        "charset": bundle.charset.characters,
        "details": json.dumps(bundle.details, sort_keys=True),
    }
    target = Path(os.path.realpath(path))  # a link goes on pointing where it does
    partial = target.with_name(f"{target.name}.part")
    if target.exists() and not target.is_file():
        raise WeightsError(f"{path}: cannot write weights there (it is no regular file)")
    try:
        partial.write_bytes(_ordered(serialized(tensors, metadata)))
        partial.replace(target)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: cannot write weights there ({error})") from None


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its header in order, as the library shuffles it: equal weights have equal checksums."""
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


def load(path: str | os.PathLike[str], device: torch.device | str = "cpu") -> Bundle:
    """Read a weights file, in full precision.

    Raises:
        WeightsError: If the file is missing, damaged, or not of this program.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except (OSError, SafetensorError) as error:
        if Path(path).is_dir():
            raise WeightsError(f"{path}: is a folder; name the weights file in it") from None
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from None
    if metadata.get("format") != _FORMAT:
        raise WeightsError(f"{path}: not OCRformer weights (format {metadata.get('format', 'missing')!r})")
    try:
        config = ModelConfig.from_dict(json.loads(metadata["config"]))
        charset = Charset(metadata["charset"])
        details = dict(json.loads(metadata.get("details", "{}")))
        if not float(details.get("temperature", 1.0)) > 0:
            raise ValueError("its temperature is not positive")
        network = Network(config, len(charset))
        floats = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        missing, unexpected = network.load_state_dict(floats, strict=False)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path}: weights do not fit this version ({error})") from None
    wrong = [name for name in missing if not name.endswith("num_batches_tracked")] + list(unexpected)
    if wrong:
        raise WeightsError(f"{path}: weights do not fit this version ({', '.join(wrong[:3])})")
    return Bundle(network.eval().to(device), charset, details)
