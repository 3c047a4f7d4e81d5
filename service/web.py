"""Between BentoML and Starlette: the request as it is, the page, the documentation, the model's facts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import bentoml
from pydantic import PrivateAttr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ocrformer import Attention, ImageError, Line, OCRformer, __version__, attention_pictures
from service.answers import ErrorAnswer, Fault, ModelAnswer, preferred
from service.guard import RequestError
from service.openapi import description

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


def shown(attention: Attention, accept: str, view: str) -> Response:
    """Attention as what the client accepts: a sheet (PNG), an animation (GIF), a page (HTML) or values (JSON).

    Args:
        attention: Of one line.
        accept: Header of the request.
        view: One of `VIEWS`, for sheets and animations.
    """
    kind = preferred(accept, ("image/png", "image/gif", "text/html", "application/json"))
    if kind == "image/gif":
        return Response(attention_pictures.animation(attention, view=view), media_type="image/gif")
    if kind == "text/html":
        # the page has its own script inside: it may run here, and nothing else may
        policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"
        return HTMLResponse(attention_pictures.page(attention), headers={"Content-Security-Policy": policy})
    if kind == "application/json":
        return JSONResponse(attention_pictures.as_data(attention))
    buffer = io.BytesIO()
    attention_pictures.sheet(attention, view=view).save(buffer, "PNG")
    return Response(buffer.getvalue(), media_type="image/png")


def refuse(request: Request, refusal: RequestError) -> Response:
    """The answer to a request that is refused as a whole."""
    fault = Fault(code=refusal.code, message=refusal.message)
    body = ErrorAnswer(error=fault, request_id=request.state.request_id).model_dump()
    return JSONResponse(body, refusal.status, refusal.headers)


def status_of(results: Sequence[Line | ImageError]) -> int:
    """200 if any image was read, 413 if all were too large, else 400."""
    faults = [result for result in results if isinstance(result, ImageError)]
    if len(faults) < len(results):
        return 200
    return 413 if all(fault.code == "too_large" for fault in faults) else 400


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

    async def model(request: Request) -> Response:
        return JSONResponse(facts(request.app.state.reader).model_dump())

    return Starlette(
        routes=[
            Route("/", page),
            Route("/docs", docs),
            Route("/docs.json", openapi),
            Route("/model", model),
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
