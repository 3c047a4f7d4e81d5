"""Runs over many images with a reader that needs no network, so that every path is quick to reach."""

from concurrent.futures import ThreadPoolExecutor

from ocrformer.config import DecodeOptions
from ocrformer.line import Character, Line
from ocrformer.sources import find
from ocrformer.transcribe import Transcriber, WindowReader, Windows


def fake_read(lines, options):
    """Text and confidence depend on the picture, and the confidence on its batch, as rounding errors do."""
    jitter = len(lines) * 1e-3
    return [
        Line(f"w{line.shape[1]}", 0.5 + jitter % 0.4, "ok", (Character("w", 0.5),)) if line.max() > 200 else
        Line("", 1.0, "empty", ())
        for line in lines
    ]  # fmt: skip


def transcriber(executor, **options):
    return Transcriber(WindowReader(fake_read, DecodeOptions(), **options), 32, executor)


def run(folder, writer, *, stop_after=None, **options):
    with ThreadPoolExecutor(2) as executor:
        for number, results in enumerate(
            transcriber(executor, **options).run(Windows(find([str(folder)]), writer.is_done))
        ):
            writer.write(results)
            if number == stop_after:  # as kill -9 would: no close()
                for handle in (getattr(writer, "_rows", None), getattr(writer, "_notes", None)):
                    if handle:
                        handle.close()
                return
    writer.close()
