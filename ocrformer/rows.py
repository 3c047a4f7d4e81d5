"""What is known of one image after reading it: the unit of every output."""

from __future__ import annotations

from dataclasses import dataclass

from ocrformer.line import Box, Line


@dataclass(frozen=True)
class Row:
    """Result of one image.

    Attributes:
        file: Name of the image.
        line: What was read, or None.
        error: Why nothing was read, in one sentence.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        milliseconds: Time spent on the image, if it was taken.
        modified: When the image file was last changed, nanoseconds since 1970.
    """

    file: str
    line: Line | None
    error: str | None = None
    width: int = 0
    height: int = 0
    milliseconds: float | None = None
    modified: int = 0

    @property
    def status(self) -> str:
        """Status of the line, or `failed`."""
        return self.line.status if self.line else "failed"


def printable(name: str) -> str:
    """A file name as text, even if its bytes are none."""
    return name.encode("utf-8", "backslashreplace").decode()


def pixels(box: Box | None, row: Row) -> list[int] | None:
    """Left, top, right, bottom in pixels of the image."""
    if box is None:
        return None
    left, top = int(box.left * row.width), int(box.top * row.height)
    right, bottom = -int(-box.right * row.width // 1), -int(-box.bottom * row.height // 1)
    return [left, top, max(right, left + 1), max(bottom, top + 1)]
