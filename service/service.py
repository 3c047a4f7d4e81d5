"""The BentoML service: `bentoml serve service.service:TextLines`, or `make serve`, or `ocrformer serve`."""

from __future__ import annotations

import os
from ctypes.util import find_library

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")  # no usage statistics
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning OpenMP threads starve the event loop
if _tcmalloc := find_library("tcmalloc_minimal"):  # where it is installed, the processes that read are a twelfth faster
    os.environ.setdefault("LD_PRELOAD", _tcmalloc)

import sys
import time
from collections.abc import Coroutine
from typing import Any

import bentoml
import torch
from starlette.requests import Request
from starlette.responses import Response

from ocrformer import OCRformer
from ocrformer.charset import CharsetError
from ocrformer.workers import cores
from service.answers import ErrorAnswer, ReadAnswer
from service.batcher import Batcher, BusyError
from service.guard import Guard, RequestError, while_connected
from service.logs import write_json_lines
from service.metrics import Metrics
from service.models import Models
from service.settings import Settings
from service.uploads import Upload, discard, parse
from service.viewer import Viewer
from service.web import RawRequest, answered, facts, refuse, site

try:
    SETTINGS = Settings.from_environment()
except ValueError as error:  # BentoML would begin again and again
    raise SystemExit(f"Error: {error}") from None
METRICS = Metrics()
SITE = site(with_key=bool(SETTINGS.api_key))
write_json_lines()


@bentoml.service(
    name="ocrformer",
    workers=SETTINGS.workers,
    traffic={"timeout": SETTINGS.timeout + SETTINGS.body_timeout + 5},
    tracing={"excluded_urls": ".*"},  # BentoML's spans, which nothing here exports, cost more than the guard
    metrics={"enabled": False},  # `service.web` serves its own
    logging={"access": {"enabled": False}},  # the guard writes its own, as JSON
    envs=[{"name": "BENTOML_DO_NOT_TRACK", "value": "True"}],
)
class TextLines:
    """Answers POSTed images of text lines with their text."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # a batch is read on one core
        sys.setswitchinterval(1e-3)  # seconds; the event loop should not wait long for other threads
        self.reader = SITE.state.reader = OCRformer.from_pretrained(
            SETTINGS.model, SETTINGS.device or None, SETTINGS.runtime
        )
        facts(self.reader)  # the checksum of what was loaded, whatever becomes of the file
        # on a GPU two batches at a time: pictures of one are decoded while the other is read
        parallel = max(1, cores() // SETTINGS.workers) if self.reader.device.type == "cpu" else 2
        self.viewer = Viewer(self.reader, SETTINGS.max_pixels)
        self.models = Models(
            self.reader,
            runtime=SETTINGS.runtime,
            count=parallel,
            max_pixels=SETTINGS.max_pixels,
            seconds=SETTINGS.timeout,
        )
        self.batcher = Batcher(
            self.models.read,
            parallel=parallel,
            batch=SETTINGS.batch,
            queue=SETTINGS.queue,
            observe=METRICS.batch,
        )

    @bentoml.api(route="/read", input_spec=RawRequest, output_spec=ReadAnswer)
    async def read(self, incoming: RawRequest, /) -> Response:
        """Read images of text lines."""
        request = incoming.request
        try:
            upload = await self._parsed(request, SETTINGS.max_images)
            return await self._admitted(request, upload, self._answer(request, upload))
        except RequestError as refusal:
            METRICS.rejected(refusal.code)
            return refuse(request, refusal)

    @bentoml.api(route="/attention", input_spec=RawRequest, output_spec=ErrorAnswer)
    async def attention(self, incoming: RawRequest, /) -> Response:
        """Show where the decoder looked: PNG, animated GIF, HTML or JSON, as the Accept header asks."""
        request = incoming.request
        try:
            upload = await self._parsed(request, 1)
            return await self._admitted(request, upload, self._attention(request, upload))
        except RequestError as refusal:
            METRICS.rejected(refusal.code)
            return refuse(request, refusal)

    async def __is_ready__(self) -> bool:
        """Whether `/readyz` says so."""
        return self.models.ready()

    async def _parsed(self, request: Request, most: int) -> Upload:
        """The request; where there is no room for one image, its body is not kept either."""
        try:
            self.batcher.check()
        except BusyError as busy:
            await discard(request)
            raise _too_many(busy) from None
        upload = await parse(request, most)
        request.state.images = len(upload.images)
        return upload

    async def _admitted(self, request: Request, upload: Upload, answer: Coroutine[Any, Any, Response]) -> Response:
        """The answer, if there is room for the request's images."""
        try:
            with self.batcher.admit(len(upload.images)):
                return await while_connected(request, answer, SETTINGS.timeout)
        except BusyError as busy:
            answer.close()
            raise _too_many(busy) from None

    async def _attention(self, request: Request, upload: Upload) -> Response:
        self._check(upload)
        response = await self.viewer.show(upload, request.headers.get("accept", ""))
        METRICS.attended()
        return response

    async def _answer(self, request: Request, upload: Upload) -> Response:
        self._check(upload)
        started = time.perf_counter()
        results = await self.batcher.read(upload.images, upload.options)
        spent = 1000 * (time.perf_counter() - started)
        METRICS.results(results)
        return answered(upload, results, spent, model=self.reader.name, request_id=request.state.request_id)

    def _check(self, upload: Upload) -> None:
        try:
            if upload.options.allowed is not None:
                self.reader.charset.allowed(upload.options.allowed)
        except CharsetError as error:
            raise RequestError(400, "bad_option", f"charset: {error}") from None

    @bentoml.on_shutdown
    async def finish(self) -> None:
        """Answer what is in flight."""
        await self.batcher.close()
        self.viewer.close()
        self.models.shutdown()


def _too_many(busy: BusyError) -> RequestError:
    return RequestError(429, "busy", str(busy), {"Retry-After": str(busy.retry_after)})


TextLines.add_asgi_middleware(
    Guard,
    api_key=SETTINGS.api_key,
    max_body=SETTINGS.max_body,
    body_timeout=SETTINGS.body_timeout,
    rejected=METRICS.rejected,
)
TextLines.mount_asgi_app(SITE, path="/")
