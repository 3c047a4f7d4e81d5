"""OCRformer reads text-line images.

image -> preprocess -> shallow CNN -> 2-D positions -> Transformer encoder -> CTC head -> draft text
                                                                          -> Transformer decoder -> text

>>> from ocrformer import OCRformer
>>> OCRformer.from_pretrained().read(["line.png"])[0].text
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ocrformer.config import MODES, VIEWS, DecodeOptions
from ocrformer.image import ImageError
from ocrformer.line import Box, Character, Line, Word

if TYPE_CHECKING:
    from ocrformer import attention_pictures
    from ocrformer.attention_map import Attention
    from ocrformer.reader import OCRformer

__version__ = "0.1.0"
__all__ = [
    "MODES",
    "VIEWS",
    "Attention",
    "Box",
    "Character",
    "DecodeOptions",
    "ImageError",
    "Line",
    "OCRformer",
    "Word",
    "__version__",
    "attention_pictures",
]


def __getattr__(name: str) -> Any:
    """Names that need torch, on first use: it takes seconds to import, which `ocrformer --help` need not wait for."""
    homes = {"OCRformer": "reader", "Attention": "attention_map", "attention_pictures": "attention_pictures"}
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"ocrformer.{homes[name]}")
    return module if name == homes[name] else getattr(module, name)
