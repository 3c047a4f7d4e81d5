"""Other programs that read text lines, for measuring beside them; used when they are installed."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

LineReader = Callable[[Sequence[Path]], list[str]]
"""Image files of one line each to texts, in order."""


class PeerError(RuntimeError):
    """Another program did not read everything."""


def installed(threads: int, language: str = "eng") -> dict[str, LineReader]:
    """The peers at hand, by name; one that cannot be started is left out, with a warning.

    Args:
        threads: Cores that each may use.
        language: Tesseract's; `kor+eng` wants Debian's `tesseract-ocr-kor`.
    """
    found: dict[str, LineReader] = {}
    if shutil.which("tesseract"):
        found[f"tesseract ({language})"] = lambda paths: tesseract(paths, threads, language)
    if importlib.util.find_spec("rapidocr"):
        try:
            found["rapidocr"] = rapidocr(threads)
        except Exception as error:  # noqa: BLE001 - without onnxruntime, or offline before its models are there
            logger.warning("rapidocr is left out: %s", error)
    return found


def tesseract(paths: Sequence[Path], processes: int, language: str) -> list[str]:
    """Tesseract in line mode (`--psm 7`), one single-threaded process per core and call, each with a list of files."""
    texts = [""] * len(paths)
    with tempfile.TemporaryDirectory() as folder:
        running = []
        for part in range(min(processes, len(paths))):
            listing = Path(folder) / f"{part}.list"
            listing.write_text("\n".join(str(path.absolute()) for path in paths[part::processes]))
            command = ["tesseract", str(listing), str(Path(folder) / str(part)), "--psm", "7", "-l", language, "tsv"]
            environment = os.environ | {"OMP_THREAD_LIMIT": "1"}
            running.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        statuses = [process.wait() for process in running]  # of all, before their folder goes
        if any(statuses):
            raise PeerError(f"tesseract ended with status {', '.join(map(str, statuses))}")
        for part in range(len(running)):
            pages = _pages((Path(folder) / f"{part}.tsv").read_text(encoding="utf-8"))
            if len(pages) != len(texts[part::processes]):
                raise PeerError(f"tesseract read {len(pages)} of {len(texts[part::processes])} pictures")
            texts[part::processes] = pages
    return texts


def _pages(table: str) -> list[str]:
    """Text of each page; plain text output would pass over the pages without any."""
    pages: list[list[str]] = []
    for row in table.splitlines()[1:]:
        level, *_, word = row.split("\t")
        if level == "1":
            pages.append([])
        elif level == "5":
            pages[-1].append(word)
    return [" ".join(words) for words in pages]


def rapidocr(threads: int, batch: int = 32) -> LineReader:
    """RapidOCR's recogniser alone (PP-OCR by onnxruntime), in batches that it sorts by width itself."""
    import cv2
    from rapidocr import RapidOCR
    from rapidocr.ch_ppocr_rec.typings import TextRecInput

    settings = {
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "Rec.rec_batch_num": batch,
    }
    engine = RapidOCR(params=settings)
    engine(np.full((48, 320, 3), 255, np.uint8), use_det=False, use_cls=False, use_rec=True)  # loads the recogniser
    recogniser = engine.text_rec

    def read(paths: Sequence[Path]) -> list[str]:
        pictures = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths]
        unread = [str(path) for path, picture in zip(paths, pictures, strict=True) if picture is None]
        if unread:
            raise PeerError(f"{unread[0]}: no picture to OpenCV")
        return list(recogniser(TextRecInput(img=pictures)).txts)

    return read
