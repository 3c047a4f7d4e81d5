"""What the service answers, as pydantic models; their schemas are the API documentation."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from ocrformer import Character, ImageError, Line
from ocrformer.line import doubted


class Fault(BaseModel):
    """Why something could not be done."""

    code: str = Field(description="kind of fault, for programs", examples=["damaged"])
    message: str = Field(description="one sentence, for people")


class CharacterAnswer(BaseModel):
    """One character."""

    text: str
    confidence: float
    box: list[float] | None = Field(description="left, top, right, bottom as shares of the image's width and height")


class ImageAnswer(BaseModel):
    """Result of one image."""

    file: str = Field(description="name of the file as it was sent", examples=["line.png"])
    text: str = Field(description="empty if there is none or the image could not be read", examples=["Total 14.35"])
    confidence: float | None = Field(description="probability that the line is right", examples=[0.981])
    status: str = Field(description="ok, empty, suspect, or failed", examples=["ok"])
    reason: str | None = Field(default=None, description="why the line is suspect")
    milliseconds: float = Field(description="from the parsed request to its results, its turn awaited", examples=[12.5])
    characters: list[CharacterAnswer] | None = Field(default=None, description="on request")
    error: Fault | None = Field(default=None, description="why the image could not be read")


class ReadAnswer(BaseModel):
    """Results of all images of a request, in its order."""

    images: list[ImageAnswer]
    model: str = Field(examples=["default"])
    request_id: str


class ErrorAnswer(BaseModel):
    """Why a request as a whole was refused."""

    error: Fault
    request_id: str


class ModelAnswer(BaseModel):
    """The model that reads."""

    name: str
    version: str = Field(description="version of OCRformer")
    checksum: str = Field(description="SHA-256 of the weights file")
    parameters: int
    charset: str
    details: dict[str, str] = Field(description="facts of the weights: steps of training, error rates, ...")


def image_answer(
    name: str, result: Line | ImageError, milliseconds: float, *, characters: bool, min_confidence: float
) -> ImageAnswer:
    """A line, or the reason why there is none, as an answer."""
    spent = round(milliseconds, 2)
    if isinstance(result, ImageError):
        fault = Fault(code=result.code, message=str(result))
        return ImageAnswer(file=name, text="", confidence=None, status="failed", milliseconds=spent, error=fault)
    line = doubted(result, min_confidence)
    return ImageAnswer(
        file=name,
        text=line.text,
        confidence=round(line.confidence, 4),
        status=line.status,
        reason=line.reason or None,
        milliseconds=spent,
        characters=[_character(c) for c in line.characters] if characters else None,
    )


def _character(character: Character) -> CharacterAnswer:
    box = None if character.box is None else [round(share, 4) for share in character.box]
    return CharacterAnswer(text=character.text, confidence=round(character.confidence, 4), box=box)


def preferred(accept: str, kinds: Sequence[str]) -> str:
    """The media type that a client wants most, the first of them where it has no wish (RFC 9110, section 12.5.1).

    Args:
        accept: Its Accept header.
        kinds: What can be had.
    """
    wishes = {}
    for wish in accept.lower().split(","):
        kind, *parameters = [part.strip() for part in wish.split(";")]
        wishes[kind] = next((_quality(part[2:]) for part in parameters if part.startswith("q=")), 1.0)

    def wanted(kind: str) -> float:
        return next((wishes[k] for k in (kind, f"{kind.partition('/')[0]}/*", "*/*") if k in wishes), 0.0)

    return max(kinds, key=wanted)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
