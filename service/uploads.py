"""Requests to images and options: multipart forms, raw images and JSON with base64, all checked."""

from __future__ import annotations

import base64
import binascii
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from ocrformer import MODES, VIEWS, DecodeOptions
from service.answers import preferred
from service.guard import RequestError

_OPTIONS = ("mode", "characters", "min_confidence", "charset")
_OF_ATTENTION = ("mode", "charset", "view")
_MOST_CHARACTERS = 12_000  # of an allowed charset: more than there are Hangul syllables
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Upload:
    """What a client sent.

    Attributes:
        images: Name and content of each image.
        options: How to decode.
        characters: Whether characters are wanted in the answer.
        min_confidence: Less confident lines are marked suspect.
        plain: Whether the client asked for text/plain.
        view: Which attention to show.
    """

    images: list[tuple[str, bytes]]
    options: DecodeOptions = field(default_factory=DecodeOptions)
    characters: bool = False
    min_confidence: float = 0.0
    plain: bool = False
    view: str = VIEWS[0]


async def parse(request: Request, max_images: int) -> Upload:
    """Read a request.

    Raises:
        RequestError: If it is malformed, holds no image, or too many.
    """
    if (request.headers.get("content-encoding") or "identity").lower() != "identity":
        raise RequestError(415, "unsupported_encoding", "compressed bodies are not unpacked: send it as it is")
    known = _OF_ATTENTION if request.url.path == "/attention" else _OPTIONS
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            images, values = await _form(request, max_images, known)
        elif kind == "application/json":
            images, values = _json(await request.body(), max_images, known)
        elif kind.startswith("image/") or kind == "application/octet-stream":
            body = await request.body()
            images, values = [("image", body)] if body else [], {}
        else:
            raise RequestError(
                415,
                "unsupported_media_type",
                f"send multipart/form-data, an image/* body, or application/json, not {kind or 'a body of no type'}; "
                "curl needs -F images=@line.png, or -H 'Content-Type: image/png' beside --data-binary",
            )
    except ClientDisconnect:
        raise _gone() from None
    if not images:
        raise RequestError(400, "no_images", "the request holds no image; send files in the field `images`")
    _check_number(len(images), max_images)
    twice = next(
        (name for name, count in Counter(n for n, _ in request.query_params.multi_items()).items() if count > 1), None
    )
    if twice:
        raise RequestError(400, "bad_option", f"{twice} is given twice")
    unknown = sorted(set(request.query_params) - {*known})
    if unknown:
        raise RequestError(400, "unexpected_field", f"unknown parameter {unknown[0]!r}: use {', '.join(known)}")
    both = sorted(set(request.query_params) & set(values))
    if both:
        raise RequestError(400, "bad_option", f"{both[0]} is given twice, in the address and in the body")
    given = {**request.query_params, **values}
    return _upload(request, images, {name: value for name, value in given.items() if value not in (None, "")})


async def discard(request: Request) -> None:
    """Take in the body of a request that will be refused: many clients read no answer before they have sent it.

    Raises:
        RequestError: If the client goes away.
    """
    if "expect" in request.headers:  # it asks first
        return
    try:
        async for _ in request.stream():
            pass
    except ClientDisconnect:
        raise _gone() from None


def _gone() -> RequestError:
    return RequestError(400, "disconnected", "the client closed the connection")


def _check_number(images: int, most: int) -> None:
    if images > most:
        raise RequestError(413, "too_many_images", f"{images} images are more than the limit of {most}")


async def _form(
    request: Request, max_images: int, known: Sequence[str]
) -> tuple[list[tuple[str, bytes]], dict[str, Any]]:
    try:
        _check_end(await request.body(), request.headers["content-type"])
        async with request.form(max_files=max_images + 1, max_fields=16) as form:
            return await _fields(form, known)
    except (UnicodeError, LookupError) as error:
        raise RequestError(400, "bad_form", f"its character encoding cannot be used ({error})") from None
    except (MultiPartException, HTTPException) as error:
        message = getattr(error, "message", None) or getattr(error, "detail", "")
        if "many" in str(message).lower():
            raise RequestError(413, "too_many_parts", f"more than {max_images} images or 16 fields") from None
        raise RequestError(400, "bad_form", f"not a well-formed multipart form ({message})") from None


def _check_end(body: bytes, content_type: str) -> None:
    """The parser drops a part that is cut off without a word.

    Raises:
        MultiPartException: If the last boundary is missing.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary("")
    if boundary and f"--{boundary}--".encode() not in body:
        raise MultiPartException("it is cut off")


async def _fields(form: FormData, known: Sequence[str]) -> tuple[list[tuple[str, bytes]], dict[str, Any]]:
    images: list[tuple[str, bytes]] = []
    values: dict[str, Any] = {}
    for name, part in form.multi_items():
        if name in known and (name in values or isinstance(part, UploadFile)):
            what = "is given twice" if name in values else "is an option: send it as text, not as a file"
            raise RequestError(400, "bad_option", f"{name} {what}")
        if isinstance(part, UploadFile):
            if part.filename or part.size:  # else a file field that was left empty
                images.append((part.filename or name, await part.read()))
        elif name in known:
            values[name] = part
        else:
            hint = f"use {', '.join(known)}"
            hint = "send it as a file; addresses are never fetched" if name == "images" else hint
            raise RequestError(400, "unexpected_field", f"the field {name!r} holds text: {hint}")
    return images, values


def _json(body: bytes, max_images: int, known: Sequence[str]) -> tuple[list[tuple[str, bytes]], dict[str, Any]]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "bad_json", f"the body is not JSON ({error})") from None
    if not isinstance(data, dict) or not isinstance(data.get("images"), list):
        raise RequestError(400, "bad_json", 'expected {"images": [{"name": ..., "data": base64}, ...]}')
    unknown = sorted(set(data) - {"images", *known})
    if unknown:
        raise RequestError(400, "unexpected_field", f"unknown field {unknown[0]!r}: use images, {', '.join(known)}")
    _check_number(len(data["images"]), max_images)  # before they are decoded
    return [_entry(number, entry) for number, entry in enumerate(data.pop("images"), 1)], data


def _entry(number: int, entry: Any) -> tuple[str, bytes]:
    if isinstance(entry, str):
        entry = {"data": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("data"), str):
        raise RequestError(400, "bad_json", f"image {number} is neither base64 text nor an object with name and data")
    unknown = sorted(set(entry) - {"name", "data"})
    if unknown or not isinstance(entry.get("name") or "", str):
        wrong = repr(unknown[0]) if unknown else "a name of another kind"
        raise RequestError(400, "bad_json", f"image {number}: use name, a text, and data, not {wrong}")
    head, mark, rest = entry["data"].partition("base64,")
    data = rest if mark and head.startswith("data:") else entry["data"]
    try:
        content = base64.b64decode("".join(data.split()), validate=True)  # encoders break lines
    except (binascii.Error, ValueError) as error:
        raise RequestError(400, "bad_base64", f"image {number} is not base64 ({error})") from None
    return entry.get("name") or f"image-{number}", content


def _upload(request: Request, images: list[tuple[str, bytes]], values: Mapping[str, Any]) -> Upload:
    mode, view = values.get("mode", DecodeOptions.mode), values.get("view", VIEWS[0])
    if mode not in MODES:
        raise RequestError(400, "bad_option", f"mode must be one of {', '.join(MODES)}")
    if view not in VIEWS:
        raise RequestError(400, "bad_option", f"view must be one of {', '.join(VIEWS)}")
    charset = values.get("charset")
    if charset is not None and not (isinstance(charset, str) and charset.strip() and _is_text(charset)):
        raise RequestError(400, "bad_option", "charset must be a string of allowed characters")
    if charset is not None and len(charset) > _MOST_CHARACTERS:
        raise RequestError(400, "bad_option", f"charset must be {_MOST_CHARACTERS:,} characters at most")
    characters = _flag(values.get("characters", False))
    options = DecodeOptions(mode=mode, allowed=charset, boxes=characters)
    plain = preferred(", ".join(request.headers.getlist("accept")), ("application/json", "text/plain")) == "text/plain"
    images = [(name.encode("utf-8", "replace").decode(), data) for name, data in images]
    return Upload(images, options, characters, _share(values.get("min_confidence", 0.0)), plain, view)


def _is_text(value: str) -> bool:
    """Whether there are no halves of surrogate pairs in it, which JSON can spell."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _flag(value: Any) -> bool:
    text = str(value).lower()
    if text not in _TRUE + _FALSE:
        raise RequestError(400, "bad_option", "characters must be true or false")
    return text in _TRUE


def _share(value: Any) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError, OverflowError):
        share = -1.0
    if not 0 <= share <= 1:
        raise RequestError(400, "bad_option", "min_confidence must be a number from 0 to 1")
    return share
