"""The reader: pictures of text lines in, lines of text with confidence out."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ocrformer.attention_map import Attention, attend
from ocrformer.batching import Group, as_prepared, bunches, collate
from ocrformer.boxes import character_boxes, in_picture
from ocrformer.charset import Charset, normalise
from ocrformer.config import DecodeOptions, checked
from ocrformer.framing import Frame, framed
from ocrformer.hardware import fast_bfloat16, fast_eight_bits
from ocrformer.image import MAX_PIXELS, PAPER, ImageError, ImageSource, Pixels, load, prepare_whole
from ocrformer.line import Box, Character, Line
from ocrformer.long_lines import MAX_WIDTH, split
from ocrformer.model import network
from ocrformer.model.network import Bundle, WeightsError
from ocrformer.onnx_encoder import choose_encoder
from ocrformer.picture_list import pictures
from ocrformer.reading import Placed, Reading, joined, tidied, verdict
from ocrformer.recogniser import Encode, Recogniser
from ocrformer.second_look import second_looks
from ocrformer.workers import Workers

_MANY = 256  # lines after which memory is given back
_TOGETHER = 32  # pictures that a thread prepares at a time


def weights_path(name_or_path: str | os.PathLike[str]) -> Path:
    """The weights file behind `default`, or the path itself."""
    if name_or_path == "default":
        return Path(__file__).parent / "weights" / "default.safetensors"
    return Path(name_or_path)


class OCRformer:
    """Reads pictures of text lines.

    One instance may be used by many threads at once.

    Args:
        bundle: A loaded network with its charset.
        name: What the weights are called.
        path: Their file, if they come from one.
        encoder: Runs the encoder; torch without one.
        plain: float32 throughout, whatever the processor does faster.
    """

    def __init__(
        self,
        bundle: Bundle,
        name: str = "unnamed",
        path: Path | None = None,
        encoder: Encode | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self.bundle = bundle
        self.name = name
        self.path = path
        self.network = bundle.network
        self.charset: Charset = bundle.charset
        self.device = next(bundle.network.parameters()).device
        self.recogniser = Recogniser(bundle, encoder, plain=plain)
        self.temperature = float(bundle.details.get("temperature", 1.0))
        self._workers = Workers(torch.get_num_threads() if self.device.type == "cpu" else 1)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str] = "default", device: str | None = None, runtime: str = "auto"
    ) -> OCRformer:
        """Load weights.

        Args:
            name_or_path: `default` for the weights that come with the package, or a safetensors file.
            device: `cpu`, `cuda`, ...; by default a GPU if there is one.
            runtime: What runs the encoder: `torch`, in bfloat16 and eight-bit integers where the processor is fast with
                them; `float32`, torch without these; `onnx` (the file that `ocrformer export` wrote beside the
                weights); the path of such a file; or `auto` for what this processor does fastest.

        Raises:
            WeightsError: If a file is missing or is not OCRformer's, or the device cannot be used.
        """
        _keep_few_kernels()
        torch_alone = runtime in ("auto", "torch", "float32")
        path = weights_path(name_or_path)
        try:
            chosen = torch.device(device or ("cuda" if torch_alone and torch.cuda.is_available() else "cpu"))
            if chosen.type == "meta":
                raise RuntimeError("it holds no numbers")
            if chosen.type != "cpu" and not torch_alone:
                raise WeightsError(f"{runtime} runs on the CPU, not on {chosen}")
            bundle = network.load(path, chosen)
        except (RuntimeError, AssertionError) as error:  # torch's words for an unknown or absent device
            raise WeightsError(f"cannot read on device {device!r} ({str(error).splitlines()[0]}); try cpu") from None
        fast = fast_bfloat16(chosen) or fast_eight_bits(chosen) or chosen.type != "cpu"
        encoder = choose_encoder(runtime, path, bundle.network, torch_is_fast=fast)
        return cls(
            bundle, "default" if name_or_path == "default" else path.name, path, encoder, plain=runtime == "float32"
        )

    def prepare(self, image: ImageSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Pixels:
        """One picture to a prepared line; what `read` does first, for callers that pipeline it.

        It is about as high as the model's lines, or higher where the picture is loosely cut or the line not level.

        Args:
            image: Path, encoded bytes, PIL image or array of one text line.
            name: What error messages call the picture.
            max_pixels: Refuse larger pictures before they are decoded.

        Raises:
            ImageError: If the picture cannot be read.
        """
        grey = load(image, max_pixels=max_pixels, name=name)
        called = name or (os.fspath(image) if isinstance(image, str | os.PathLike) else "image")
        return prepare_whole(grey, self.network.config.height, called)

    def read(self, images: Iterable[ImageSource], options: DecodeOptions | None = None) -> list[Line]:
        """Read pictures of lines, in order.

        Args:
            images: Paths, encoded bytes, PIL images or arrays; one text line each.
            options: How to decode.

        Raises:
            ImageError: If a picture cannot be read; nothing is read then. To go on without it, call `prepare` on each
                picture and `read_prepared` on those that could be prepared.
        """
        options = checked(options)
        return self.read_prepared(self._workers.map(self.prepare, pictures(images), together=_TOGETHER), options)

    def read_prepared(self, lines: Iterable[Pixels], options: DecodeOptions | None = None) -> list[Line]:
        """Read lines that `prepare` made, in order; the same line gives the same text alone and in any batch."""
        options, lines = checked(options), as_prepared(lines, self.network.config.height)
        rows, readings = self._read_rows([self._framed(line).rows for line in lines], options)
        if len(lines) >= _MANY:
            _return_memory()
        return [self._line(*read, options) for read in zip(lines, rows, readings, strict=True)]

    def attend(self, image: ImageSource, options: DecodeOptions | None = None) -> Attention:
        """Read one picture and tell where the network looked.

        Raises:
            ImageError: If the picture cannot be read, or is too long to be read in one piece.
        """
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else "image"
        return self.attend_prepared(self.prepare(image), options, name=name)

    def attend_prepared(self, line: Pixels, options: DecodeOptions | None = None, *, name: str = "image") -> Attention:
        """As `attend`, for a line that `prepare` made."""
        options, (line,) = checked(options), as_prepared([line], self.network.config.height)
        rows = self._framed(line).rows
        if rows.shape[1] > MAX_WIDTH:
            message = f"{name}: attention is shown for lines up to {MAX_WIDTH} pixels wide at {rows.shape[0]} high"
            raise ImageError(message, "too_long")
        (seen,), ((reading, _),) = self._read_rows([rows], options)
        if seen.shape[1] > MAX_WIDTH:  # in pieces at its second look: shown as it was at the first
            seen, ((reading, _),) = rows, self._read_once([rows], options)
        return attend(self.network, self.charset, seen, reading.ids)

    def _read_rows(self, rows: Sequence[Pixels], options: DecodeOptions) -> tuple[list[Pixels], list[Placed]]:
        """Read rows of pictures, some in several ways; the rows as they were read most surely, and what was read."""
        rows, readings = list(rows), self._read_once(rows, options)
        if not options.looks_twice:
            return rows, readings
        texts = [[text for text, _, _ in self.charset.groups(reading.ids)] for reading, _ in readings]
        sureness = [reading.sureness(len(text)) for (reading, _), text in zip(readings, texts, strict=True)]
        looks = [
            (index, look) for index, row in enumerate(rows) for look in second_looks(row, texts[index], sureness[index])
        ]
        for (index, look), again in zip(looks, self._read_once([look for _, look in looks], options), strict=True):
            surer = again[0].sureness(len(self.charset.groups(again[0].ids)))
            if surer > sureness[index]:
                rows[index], readings[index], sureness[index] = look, again, surer
        return rows, readings

    def _read_once(self, rows: Sequence[Pixels], options: DecodeOptions) -> list[Placed]:
        pieces = [split(line) for line in rows]
        results = iter(self._read_pieces([piece.pixels for parts in pieces for piece in parts], options))
        return [tidied(joined(parts, [next(results) for _ in parts]), self.charset.space) for parts in pieces]

    def _read_pieces(self, lines: Sequence[Pixels], options: DecodeOptions) -> list[Reading]:
        def read(bunch: list[Group]) -> list[Reading]:
            padded = [collate([lines[i] for i in indices], width) for width, indices in bunch]
            tensors = [(torch.from_numpy(images), torch.from_numpy(widths)) for images, widths in padded]
            return self.recogniser.read(tensors, options)

        shared = bunches(lines, options.batch_pixels, self._workers.count)
        readings: list[Reading | None] = [None] * len(lines)
        for bunch, answers in zip(shared, self._workers.map(read, shared), strict=True):
            for index, answer in zip((i for _, indices in bunch for i in indices), answers, strict=True):
                readings[index] = answer
        return [reading for reading in readings if reading is not None]

    def _line(self, line: Pixels, rows: Pixels, placed: Placed, options: DecodeOptions) -> Line:
        reading, columns = placed
        groups = self.charset.groups(reading.ids)
        log_probs = reading.log_probs / self.temperature
        confidences: list[float] = np.exp(log_probs).tolist()
        boxes: Sequence[Box | None] = [None] * len(groups)
        if options.boxes:
            middles = np.array([columns[start:end].mean() for _, start, end in groups])
            boxes = self._boxes(line, rows, [text for text, _, _ in groups], middles)
        characters = tuple(
            Character(text, min(confidences[start:end]), box)
            for (text, start, end), box in zip(groups, boxes, strict=True)
        )
        text = normalise(self.charset.decode(reading.ids))
        confidence = float(np.exp(log_probs.sum()))
        status, reason = verdict(reading)
        return Line(text, confidence, status, characters, reason)

    def _boxes(self, line: Pixels, rows: Pixels, texts: Sequence[str], middles: npt.NDArray[np.float64]) -> list[Box]:
        """Boxes as shares of the whole picture, of which only some rows were read."""
        frame = self._framed(line)
        return [in_picture(box, frame, *line.shape) for box in character_boxes(rows, texts, middles)]

    def _framed(self, line: Pixels) -> Frame:
        return framed(line, self.network.config.height, PAPER)


def _return_memory() -> None:
    """Give what is free back to the system where the C library can (glibc): batches of many shapes leave it in bits."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


def _keep_few_kernels() -> None:
    """Let torch keep 64 prepared convolutions instead of 1,024; it looks the variable up at its first use.

    Every shape of a batch needs a dozen. Kept for all of them they filled over a gigabyte on long runs, and were no
    faster than ones made anew from oneDNN's own cache, which is left as it is.
    """
    os.environ.setdefault("LRU_CACHE_CAPACITY", "64")
