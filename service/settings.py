"""Settings of the service, from environment variables beginning with OCRFORMER_."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Limits and switches; the variable for `max_images` is OCRFORMER_MAX_IMAGES, and so on.

    Attributes:
        model: `default` or a weights file.
        device: Device to read on; empty for a GPU if there is one.
        runtime: What runs the encoder: `torch`, `float32`, `onnx`, an ONNX file, or `auto`.
        workers: Processes that answer; the cores, each with a process that reads, are divided among them.
        api_key: Key that clients must send; empty for none.
        max_body: Bytes of one request.
        max_images: Images of one request.
        max_pixels: Pixels of one image.
        queue: Lines that may wait; beyond it requests are answered 429.
        batch: Lines that go through one model at once.
        timeout: Seconds for reading one request.
        body_timeout: Seconds in which a request's body must have arrived.
    """

    model: str = "default"
    device: str = ""
    runtime: str = "auto"
    workers: int = 1
    api_key: str = ""
    max_body: int = 32 * 1024 * 1024
    max_images: int = 256
    max_pixels: int = 16_000_000
    queue: int = 2048
    batch: int = 64
    timeout: float = 30.0
    body_timeout: float = 30.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings as the environment has them.

        Raises:
            ValueError: If a number is none, a text is blank, or the weights are not there, naming the variable.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, str | int | float] = {}
        for field in fields(cls):
            name = f"OCRFORMER_{field.name.upper()}"
            if environment.get(name):
                values[field.name] = _parse(name, environment[name], type(field.default))
        settings = cls(**values)  # type: ignore[arg-type]
        if settings.model != "default" and not Path(settings.model).is_file():
            raise ValueError(f"OCRFORMER_MODEL: {settings.model}: no such weights file")
        return settings


def _parse(name: str, text: str, kind: type) -> str | int | float:
    if kind is str:
        if not text.strip():  # a blank key must not open the service to everybody
            raise ValueError(f"{name} is set, but blank")
        return text.strip()  # a key that was read from a file ends with a new line
    try:
        number: int | float = kind(text)
    except ValueError:
        raise ValueError(f"{name} must be a {'whole ' * (kind is int)}number, got {text!r}") from None
    if not 0 < number < math.inf:  # false for nan too
        raise ValueError(f"{name} must be positive and finite, got {text}")
    return number
