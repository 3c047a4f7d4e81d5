"""Between BentoML and Starlette: the request as it is, answers, the page, the documentation, the model's facts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import bentoml
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import PrivateAttr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ocrformer import ImageError, Line, OCRformer, __version__
from service.answers import ErrorAnswer, Fault, ModelAnswer, ReadAnswer, image_answer
from service.guard import RequestError
from service.metrics import all_processes
from service.openapi import description
from service.uploads import Upload

_PAGE = Path(__file__).parent / "page"
_SWAGGER = Path(str(files("bentoml"))) / "_internal" / "server" / "static_content"


class RawRequest(bentoml.IODescriptor):
    """The request itself; `service.uploads` parses it, because BentoML's parsers answer 500 to bad images."""

    __root_input__: ClassVar[bool] = True
    _request: Request = PrivateAttr()

    @property
    def request(self) -> Request:
        """What the client sent."""
        return self._request

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> RawRequest:
        """Keep the request."""
        raw = cls()
        raw._request = request
        return raw


def refuse(request: Request, refusal: RequestError) -> Response:
    """The answer to a request that is refused as a whole."""
    fault = Fault(code=refusal.code, message=refusal.message)
    body = ErrorAnswer(error=fault, request_id=request.state.request_id).model_dump()
    to_come = refusal.status in (408, 413, 415) or "expect" in request.headers  # of the body, perhaps
    closing = {"Connection": "close"} if to_come else {}
    return JSONResponse(body, refusal.status, closing | refusal.headers)


def status_of(results: Sequence[Line | ImageError]) -> int:
    """200 if any image was read, 413 if all were too large, else 400."""
    faults = [result for result in results if isinstance(result, ImageError)]
    if len(faults) < len(results):
        return 200
    return 413 if all(fault.code == "too_large" for fault in faults) else 400


def answered(
    upload: Upload, results: Sequence[Line | ImageError], milliseconds: float, *, model: str, request_id: str
) -> Response:
    """The answer to a request whose images were read, each or not, as its client accepts it.

    Args:
        upload: The request.
        results: Of its images, in order.
        milliseconds: That they took.
        model: Name of the model.
        request_id: Of the request.
    """
    status = status_of(results)
    if upload.plain and status == 200:
        return PlainTextResponse("".join(f"{r.text if isinstance(r, Line) else ''}\n" for r in results))
    make = partial(image_answer, characters=upload.characters, min_confidence=upload.min_confidence)
    images = [make(name, result, milliseconds) for (name, _), result in zip(upload.images, results, strict=True)]
    answer = ReadAnswer(images=images, model=model, request_id=request_id)
    return Response(answer.model_dump_json(), status, media_type="application/json")


def site(*, with_key: bool) -> Starlette:
    """Everything that is not an API of the service class: page, documentation, model facts (of `state.reader`).

    Args:
        with_key: Whether clients need an API key.
    """

    async def page(_: Request) -> Response:
        return FileResponse(_PAGE / "index.html")

    async def docs(_: Request) -> Response:
        return FileResponse(_PAGE / "docs.html")

    async def openapi(_: Request) -> Response:
        return JSONResponse(description(with_key=with_key))

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(all_processes()), media_type=CONTENT_TYPE_LATEST)

    async def model(request: Request) -> Response:
        return JSONResponse(facts(request.app.state.reader).model_dump())

    return Starlette(
        routes=[
            Route("/", page),
            Route("/docs", docs),
            Route("/docs.json", openapi),
            Route("/model", model),
            Route("/metrics", metrics),
            Mount("/static/swagger", StaticFiles(directory=_SWAGGER)),
            Mount("/static", StaticFiles(directory=_PAGE)),
        ]
    )


@lru_cache(maxsize=4)
def facts(reader: OCRformer) -> ModelAnswer:
    """Name, version, charset, figures and checksum of a model."""
    return ModelAnswer(
        name=reader.name,
        version=__version__,
        checksum=hashlib.sha256(reader.path.read_bytes()).hexdigest() if reader.path else "",
        parameters=sum(parameter.numel() for parameter in reader.network.parameters()),
        charset=reader.charset.characters,
        details=reader.bundle.details,
    )
