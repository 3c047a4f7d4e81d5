"""What reading gives: lines, their characters and where these are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in the picture, as shares of its width and height, 0 at the left and at the top."""

    left: float
    top: float
    right: float
    bottom: float


class Character(NamedTuple):
    """One character as read.

    Attributes:
        text: The character; a Hangul syllable is one.
        confidence: Probability that it is right, between 0 and 1.
        box: Where it is, if boxes were asked for.
    """

    text: str
    confidence: float
    box: Box | None = None


class Word(NamedTuple):
    """Characters between spaces.

    Attributes:
        text: The word.
        confidence: Least confidence of its characters.
        box: Around its characters, if boxes were asked for.
        characters: Its characters.
    """

    text: str
    confidence: float
    box: Box | None = None
    characters: tuple[Character, ...] = ()


@dataclass(frozen=True)
class Line:
    """One line as read.

    Attributes:
        text: The text, empty for a picture without any.
        confidence: Probability that the line has no error (case and the form of quotes and dashes aside); longer lines
            have more room for one.
        status: `ok`, `empty`, or `suspect` (look at it).
        characters: The characters of the text, spaces included.
        reason: Why the line is suspect.
    """

    text: str
    confidence: float
    status: str
    characters: tuple[Character, ...]
    reason: str = ""

    @property
    def words(self) -> list[Word]:
        """The words of the line."""
        words: list[Word] = []
        run: list[Character] = []
        for character in (*self.characters, Character(" ", 1.0)):
            if character.text != " ":
                run.append(character)
            elif run:
                words.append(_word(run))
                run = []
        return words


def doubted(line: Line, least: float) -> Line:
    """The line, suspect if it is less confident than that."""
    if line.status == "ok" and line.confidence < least:
        return replace(line, status="suspect", reason=f"less confident than {least:g}")
    return line


def _word(characters: Sequence[Character]) -> Word:
    boxes = [c.box for c in characters if c.box is not None]
    return Word(
        "".join(c.text for c in characters),
        min(c.confidence for c in characters),
        union(boxes) if len(boxes) == len(characters) else None,
        tuple(characters),
    )


def union(boxes: Sequence[Box]) -> Box:
    """The smallest box around all."""
    return Box(
        min(b.left for b in boxes), min(b.top for b in boxes), max(b.right for b in boxes), max(b.bottom for b in boxes)
    )
