"""Where the decoder looked, for `POST /attention`: one picture at a time, on a thread of its own."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from starlette.responses import HTMLResponse, JSONResponse, Response

from ocrformer import Attention, ImageError, OCRformer, attention_pictures
from service.answers import preferred
from service.guard import RequestError
from service.uploads import Upload

Result = TypeVar("Result")


class Viewer:
    """Shows attention.

    Args:
        reader: Reads the pictures.
        max_pixels: Refuse larger ones.
    """

    def __init__(self, reader: OCRformer, max_pixels: int) -> None:
        self._reader, self._max_pixels = reader, max_pixels
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="attention")

    async def show(self, upload: Upload, accept: str) -> Response:
        """Attention of the one picture of an upload, as its client accepts it.

        Raises:
            RequestError: If it cannot be read.
        """
        ((name, data),) = upload.images
        try:
            line = await self._run(partial(self._reader.prepare, data, name=name, max_pixels=self._max_pixels))
            seen = await self._run(partial(self._reader.attend_prepared, line, upload.options, name=name))
        except ImageError as error:
            raise RequestError(413 if error.code == "too_large" else 400, error.code, str(error)) from None
        return await self._run(partial(_shown, seen, accept, upload.view))

    def close(self) -> None:
        """Begin nothing more; a picture that never ends must not keep the service from ending."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _shown(attention: Attention, accept: str, view: str) -> Response:
    """A sheet (PNG), an animation (GIF), a page (HTML) or values (JSON).

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
