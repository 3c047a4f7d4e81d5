"""Contact sheets: lines with their texts, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw
from rapidfuzz.distance import Levenshtein

from ocrformer.charset import normalise
from ocrformer.datasets import Sample
from ocrformer.display import as_picture
from ocrformer.image import Pixels, prepare
from ocrformer.lettering import Font, font_for
from ocrformer.metrics import fold

_WIDTH = 1600
_CAPTION = 18


def contact_sheet(
    pictures: Sequence[Image.Image], captions: Sequence[Sequence[str]], *, columns: int = 2
) -> Image.Image:
    """Pictures in columns, each over its captions.

    Args:
        pictures: Grey pictures, scaled down to the column width where they are wider.
        captions: Lines of text under each picture.
        columns: Pictures side by side.
    """
    width = _WIDTH // columns
    font = font_for("".join(map("".join, captions)), 13)
    captions = [[line for text in texts for line in _wrapped(text, font, width - 8)] for texts in captions]
    scaled = [_fitted(picture, width - 8) for picture in pictures]
    rows = [range(start, min(start + columns, len(scaled))) for start in range(0, len(scaled), columns)]
    heights = [max(scaled[i].height + _CAPTION * len(captions[i]) + 10 for i in row) for row in rows]
    sheet = Image.new("L", (_WIDTH, max(1, sum(heights))), 215)
    pen = ImageDraw.Draw(sheet)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, index in enumerate(row):
            picture, left = scaled[index], column * width + 4
            sheet.paste(picture, (left, top + 3))
            for number, caption in enumerate(captions[index]):
                pen.text((left, top + 4 + picture.height + _CAPTION * number), caption, fill=0, font=font)
        top += height
    return sheet


def sheet_of(samples: Sequence[Sample], height: int) -> Image.Image:
    """Labelled lines as a network of that line height sees them, over their labels."""
    pictures = [as_picture(prepare(sample.open(), height, sample.name)) for sample in samples]
    return contact_sheet(pictures, [[normalise(sample.text)] for sample in samples])


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """A text in lines that fit the width, broken anywhere: labels are not always words."""
    lines = [""]
    for character in text:
        if lines[-1] and font.getlength(lines[-1] + character) > width:
            lines.append("")
        lines[-1] += character
    return lines


def _fitted(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, picture.height * width // picture.width)))


def worst_lines(lines: Sequence[Pixels], truth: Sequence[str], read: Sequence[str], *, most: int = 60) -> Image.Image:
    """A sheet of the lines with most errors, each with what it says and what was read."""
    errors = [Levenshtein.distance(fold(t), fold(r)) for t, r in zip(truth, read, strict=True)]
    order = [i for i in sorted(range(len(errors)), key=lambda i: -errors[i]) if errors[i]][:most]
    captions = [(f"{errors[i]}  = {truth[i]}", f"    > {read[i]}") for i in order]
    return contact_sheet([as_picture(lines[i]) for i in order], captions)
