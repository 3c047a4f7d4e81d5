"""Configuration of the model and of one reading, as frozen dataclasses that reject unknown keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from typing import Any


class OptionError(ValueError):
    """An option whose value makes no sense, in one sentence."""


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the network: everything that decides which weights exist and what they mean.

    Attributes:
        height: Line height in pixels that the backbone takes.
        channels: Feature maps after the first three of four strided convolutions; the last two halve only the height.
        blocks: Residual blocks after the second, third and fourth strided convolution.
        rows: Rows of the feature map that the encoder sees: all, height // 16, or 1.
        d_model: Width of encoder and decoder; heads are 64 wide.
        encoder_layers: Transformer encoder layers.
        decoder_layers: Transformer decoder layers.
        feed_forward: Inner width of the position-wise feed-forward networks.
    """

    height: int = 32
    channels: tuple[int, int, int] = (32, 64, 128)
    blocks: tuple[int, int, int] = (1, 2, 1)
    rows: int = 2
    d_model: int = 192
    encoder_layers: int = 2
    decoder_layers: int = 2
    feed_forward: int = 768

    def __post_init__(self) -> None:
        for name, size in self.to_dict().items():
            least = 0 if name == "blocks" else 1
            if min(size if isinstance(size, tuple) else (size,)) < least:
                raise OptionError(f"{name} must be at least {least}, got {size}")
        if self.height % 16:
            raise OptionError(f"height must be a multiple of 16, got {self.height}")
        if self.d_model % 64:
            raise OptionError(f"d_model must be a multiple of the head size 64, got {self.d_model}")
        if self.rows not in (1, self.height // 16):
            raise OptionError(f"rows must be 1 or {self.height // 16}, got {self.rows}")

    @property
    def heads(self) -> int:
        """Attention heads; a head is 64 wide because narrower ones miss the fast CPU kernel."""
        return self.d_model // 64

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as stored in the weights file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Inverse of `to_dict`.

        Raises:
            OptionError: On a key that this version does not know.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise OptionError(f"unknown model configuration: {', '.join(unknown)}")
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)


MODES = ("draft", "joint", "greedy", "ctc", "beam")
"""Decoding modes: see `DecodeOptions.mode`."""
VIEWS = ("picture", "encoder", "characters")
"""Attentions that can be shown: decoder to picture, encoder within the picture, decoder to earlier characters."""
_WIDEST_BEAM = 64


@dataclass(frozen=True)
class DecodeOptions:
    """Options of one reading.

    Attributes:
        mode: `draft` (CTC draft verified by the decoder in one pass; the same text as greedy), `joint` (the decoder is
            asked only where CTC is in doubt; where the two differ, the better joint log-probability), `greedy` (step by
            step), `ctc` (no decoder), `beam`.
        allowed: Characters that may be written, or None for all; decoding is constrained, nothing is filtered. Of
            Hangul, all syllables that the jamo of the given ones spell.
        boxes: Find out where each character is.
        beam_width: Hypotheses kept by `beam`.
        second_look: In `joint` and `beam`, read crowded lines once more and wider, unsure ones once more softer and
            once sharper, and keep the surest reading. The other modes take pictures as they are, so as to be compared.
        batch_pixels: Columns of pixels that go through the network at once; bounds memory, never changes a text.
    """

    mode: str = "joint"
    allowed: str | None = None
    boxes: bool = False
    beam_width: int = 4
    second_look: bool = True
    batch_pixels: int = 32768

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise OptionError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.allowed is not None and not isinstance(self.allowed, str):
            raise OptionError(f"allowed must be a string of characters, got {self.allowed!r}")
        for flag in ("boxes", "second_look"):
            if not isinstance(getattr(self, flag), bool):
                raise OptionError(f"{flag} must be True or False, got {getattr(self, flag)!r}")
        if not (_is_whole(self.beam_width) and 1 <= self.beam_width <= _WIDEST_BEAM):
            raise OptionError(f"beam_width must be a whole number from 1 to {_WIDEST_BEAM}, got {self.beam_width!r}")
        if not (_is_whole(self.batch_pixels) and self.batch_pixels >= 1):
            raise OptionError(f"batch_pixels must be a whole number of at least 1, got {self.batch_pixels!r}")

    @property
    def looks_twice(self) -> bool:
        """Whether some lines are read in several ways."""
        return self.second_look and self.mode in ("joint", "beam")


def _is_whole(value: object) -> bool:
    """Whether it is a whole number of any type, numpy's among them."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def checked(options: DecodeOptions | None) -> DecodeOptions:
    """The options, or those that are meant where there are none.

    Raises:
        TypeError: If they are something else.
    """
    if options is not None and not isinstance(options, DecodeOptions):
        raise TypeError(f"options are DecodeOptions(...), not {type(options).__name__}")
    return options or DecodeOptions()
