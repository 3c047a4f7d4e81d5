"""`ocrformer synth`: synthetic lines on disk, to look at or to train other programs with."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from ocrformer.charset import Charset
from ocrformer.display import as_picture
from ocrformer.image import prepare
from ocrformer.training.data import SyntheticConfig, only, voices_of
from ocrformer.training.fonts import font_places, load_faces
from ocrformer.training.lines import Key, LineFactory
from ocrformer.training.sheet import contact_sheet
from ocrformer.training.text import KINDS

_SHOWN = 120  # lines on the contact sheet
_HEIGHT = 32


def rate(seconds: float = 3.0) -> float:
    """Lines per second that one core makes as for training the default model, in the system's fonts."""
    config = SyntheticConfig()
    factory = line_factory(config)
    widths, shares = config.buckets.widths, config.buckets.shares  # shares of batches; narrow ones have more lines
    drawn = Random(0).choices(widths, [share / width for width, share in zip(widths, shares, strict=True)], k=4096)
    made, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < seconds or made < 2:
        factory(Key(0, made, 0, drawn[made % len(drawn)]))
        made += 1
    return made / taken


def line_factory(
    config: SyntheticConfig, *, unseen: bool = False, clean: bool = False, kind: str | None = None
) -> LineFactory:
    """What makes lines as training sees them, or plainer ones to measure with.

    Args:
        config: Fonts and texts; its seed and batch widths are not used.
        unseen: Draw in those font families alone that training holds out, if any is.
        clean: Draw black on white, without wear.
        kind: `running` or `rare` texts alone; in Korean rare ones are mostly syllables drawn uniformly.

    Raises:
        FontError: If there is no font for what is wanted.
        DatasetError: If texts are named that hold none.
        FileNotFoundError: If a font or text does not exist.
    """
    charset = Charset.default()
    voices = voices_of(config, charset, load_faces(font_places(config.fonts), charset, exclude=config.exclude))
    if unseen:
        voices = [only(voice, held_out=True) for voice in voices]
    return LineFactory(voices, _HEIGHT, clean=clean, mixture=KINDS[kind] if kind else None)


def write_lines(
    folder: Path, config: SyntheticConfig, number: int, *, width: int = 512, seed: int = 0, **manner: Any
) -> int:
    """Write `number` lines as they are before the reader's intake, `labels.tsv` and `sheet.png`.

    Args:
        folder: Created if need be.
        config: Fonts and texts.
        number: How many lines.
        width: About the greatest width once a line is scaled to 32 pixels height.
        seed: Decides every line.
        manner: What else `line_factory` takes.

    Returns:
        The number of lines written.

    Raises:
        FileExistsError: If there is anything in the folder.
        FontError, DatasetError, FileNotFoundError: As `line_factory`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name another folder")
    factory = line_factory(config, **manner)
    folder.mkdir(parents=True, exist_ok=True)
    pictures, captions = [], []
    with (folder / "labels.tsv").open("w", encoding="utf-8", newline="\n") as labels:
        for index in range(number):
            rng = Random(f"synth:{seed}:{index}")
            written, page = factory.page(rng, rng.randint(min(48, width), width))
            name = f"{index:0{len(str(number))}d}.png"
            Image.fromarray(page).save(folder / name)
            labels.write(f"{name}\t{written}\n")
            if index < _SHOWN:
                pictures.append(as_picture(prepare(page, _HEIGHT)))
                captions.append([written])
    contact_sheet(pictures, captions).save(folder / "sheet.png")
    return number
