"""The OpenAPI description: all three ways to send images, with examples."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from ocrformer import MODES, VIEWS, DecodeOptions, __version__
from service.answers import ErrorAnswer, ModelAnswer, ReadAnswer

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsRzzUgAAAABJRU5ErkJggg=="
_REFUSALS = {
    "400": "malformed request, or no image could be read (then the answer lists the reasons)",
    "401": "API key missing or wrong",
    "408": "the body came too slowly",
    "413": "body, all images, or number of images over the limit",
    "415": "content type is none of the three",
    "429": "too busy; try again after the seconds in Retry-After",
    "500": "a fault of the server",
    "504": "not read in time",
}


def description(*, with_key: bool) -> dict[str, Any]:
    """The whole document.

    Args:
        with_key: Whether an API key is needed.
    """
    models = [(model, "serialization") for model in (ReadAnswer, ErrorAnswer, ModelAnswer)]
    _, schemas = models_json_schema(models, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "OCRformer",
            "version": __version__,
            "description": "Reads images of text lines. Also: GET /livez, /readyz, /metrics.",
        },
        "paths": {"/read": {"post": _read()}, "/attention": {"post": _attention()}, "/model": {"get": _model()}},
        "components": {"schemas": schemas["$defs"]},
    }
    if with_key:
        document["components"]["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [{"bearer": []}, {"header": []}]
    return document


def _decoding() -> dict[str, Any]:
    return {
        "mode": {"type": "string", "enum": list(MODES), "default": DecodeOptions.mode, "description": "how to decode"},
        "charset": {
            "type": "string",
            "description": "the only characters that may be written; of Hangul, all that their jamo spell",
            "examples": ["0123456789"],
        },
    }


def _of_answer() -> dict[str, Any]:
    return {
        "characters": {"type": "boolean", "description": "answer with characters, their confidences and boxes"},
        "min_confidence": {"type": "number", "minimum": 0, "maximum": 1, "description": "mark less as suspect"},
    }


def _view() -> dict[str, Any]:
    description = "which attention a sheet or an animation shows"
    return {"view": {"type": "string", "enum": list(VIEWS), "default": VIEWS[0], "description": description}}


def _query(options: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": schema} for name, schema in options.items()]


def _body(number: dict[str, int], options: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    """The three ways to send so many images, and the options of an example."""
    binary = {"type": "string", "format": "binary"}
    image = {
        "type": "object",
        "required": ["data"],
        "properties": {
            "name": {"type": "string", "examples": ["line.png"]},
            "data": {"type": "string", "contentEncoding": "base64", "examples": [_PIXEL]},
        },
    }
    form, encoded = ({"images": {"type": "array", "items": items} | number} for items in (binary, image))
    example = {"images": [{"name": "line.png", "data": _PIXEL}], **example}
    content = {
        "multipart/form-data": {"schema": _object(form | options, ["images"])},
        "application/json": {"schema": _object(encoded | options, ["images"]), "example": example},
        "image/*": {"schema": binary},
    }
    return {"required": True, "content": content}


def _read() -> dict[str, Any]:
    return {
        "summary": "Read images of text lines",
        "operationId": "read",
        "parameters": _query(_decoding() | _of_answer()),
        "requestBody": _body({"minItems": 1}, _decoding() | _of_answer(), {"characters": True}),
        "responses": {
            "200": _answer("ReadAnswer", "results in the order of the images", plain=True),
            **{status: _answer("ErrorAnswer", text) for status, text in _REFUSALS.items()},
            **{status: _answer("ReadAnswer", _REFUSALS[status], "ErrorAnswer") for status in ("400", "413")},
        },
    }


def _attention() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "format": "binary"}}
    kinds = {"image/png": binary, "image/gif": binary, "text/html": {"schema": {"type": "string"}}}
    return {
        "summary": "Show where the decoder looked for each character of one line",
        "operationId": "attention",
        "parameters": _query(_decoding() | _view()),
        "requestBody": _body({"minItems": 1, "maxItems": 1}, _decoding() | _view(), {"view": VIEWS[0]}),
        "responses": {
            "200": {
                "description": "a sheet, an animation, a page, or values, as the Accept header asks",
                "content": kinds | {"application/json": {"schema": {"type": "object"}}},
            },
            **{status: _answer("ErrorAnswer", text) for status, text in _REFUSALS.items()},
        },
    }


def _model() -> dict[str, Any]:
    return {
        "summary": "The model that reads",
        "operationId": "model",
        "responses": {
            "200": _answer("ModelAnswer", "name, version, charset, figures, checksum"),
            "401": _answer("ErrorAnswer", _REFUSALS["401"]),
        },
    }


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _answer(model: str, text: str, other: str | None = None, *, plain: bool = False) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{name}"} for name in (model, other) if name]
    schema = references[0] if other is None else {"anyOf": references}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if plain:
        content["text/plain"] = {"schema": {"type": "string"}, "example": "Total 14.35\n"}
    return {"description": text, "content": content}
