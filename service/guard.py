"""ASGI guard before the service: request ids, API key, body limits, security headers, JSON access log; and patience."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from random import getrandbits
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import REQUEST_ID

_OPEN = ("/livez", "/readyz", "/healthz", "/", "/docs", "/docs.json", "/static")
_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"content-security-policy": (
        b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_ROUTED = {
    404: ("not_found", "there is nothing here; /docs tells what there is"),
    405: ("method_not_allowed", "this path answers other methods; /docs tells which"),
    500: ("internal", "a fault of the server; its log tells more beside the request id"),
}
_DRAINED = 2.0  # seconds in which a body that is too large may still arrive
_log = logging.getLogger("ocrformer.access")


Headers = Iterable[tuple[bytes, bytes]]
Reject = Callable[[str], None]
"""Told why a request was refused, for the metrics."""


class RequestError(Exception):
    """A request that is answered with an error as a whole.

    Args:
        status: HTTP status.
        code: Kind of fault, for programs.
        message: One sentence.
        headers: Further response headers.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


class Guard:
    """Checks what can be checked before a request is parsed, and finishes every response.

    Args:
        app: The application behind.
        api_key: Key that clients must send as `Authorization: Bearer` or `X-API-Key`; empty for none.
        max_body: Bytes of one request.
        body_timeout: Seconds in which a body must have arrived.
        rejected: Told why a request was refused.
    """

    def __init__(self, app: ASGIApp, *, api_key: str, max_body: int, body_timeout: float, rejected: Reject) -> None:
        self._app, self._key, self._max_body, self._body_timeout = app, api_key.encode(), max_body, body_timeout
        self._rejected = rejected

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")
        if not _ID.fullmatch(request_id):
            request_id = f"{getrandbits(128):032x}"  # uuid4 asks the system, which lets other threads in between
        scope.setdefault("state", {})["request_id"] = request_id
        REQUEST_ID.set(request_id)
        exchange = _Exchange(scope, send, request_id)
        try:
            await self._handle(scope, headers, receive, exchange)
        finally:
            exchange.log()

    async def _handle(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: _Exchange) -> None:
        if not self._allowed(scope["path"], headers):
            self._rejected("unauthorized")
            if b"expect" not in headers:
                await self._drain(receive)
            await exchange.refuse(401, "unauthorized", "send the API key as `Authorization: Bearer KEY` or `X-API-Key`")
        elif _declared_length(headers) > self._max_body:
            self._rejected("body_too_large")
            if b"expect" not in headers:
                await self._drain(receive)
            await exchange.refuse(413, "body_too_large", self._size_message)
        elif headers.get(b"content-type", b"").strip().lower().startswith(b"application/vnd.bentoml"):
            self._rejected("unsupported_media_type")  # BentoML would take it for a call of its own
            sentence = "send multipart/form-data, an image/* body, or application/json"
            await exchange.refuse(415, "unsupported_media_type", sentence)
        else:
            await self._app(scope, self._limited(receive), exchange.send)

    @property
    def _size_message(self) -> str:
        return f"the body is larger than {self._max_body:,} bytes"

    def _allowed(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if not self._key or path in _OPEN or path.startswith("/static/"):
            return True
        bearer = headers.get(b"authorization", b"").partition(b" ")
        sent = headers.get(b"x-api-key") or (bearer[2].strip() if bearer[0].lower() == b"bearer" else b"")
        return hmac.compare_digest(sent, self._key)

    async def _drain(self, receive: Receive) -> None:
        """Take in some of a body that will be refused: many clients read no answer before they have sent it."""
        left = 4 * self._max_body
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DRAINED):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break

    def _limited(self, receive: Receive) -> Receive:
        """The body as it comes; whoever reads it gets `RequestError` when it is too large or too slow."""
        deadline = time.monotonic() + self._body_timeout
        received = 0
        complete = False

        async def limited() -> Message:
            nonlocal received, complete
            if complete:
                return await receive()  # waits for the client to go away
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                sentence = f"the body did not arrive within {self._body_timeout:g} s"
                raise RequestError(408, "body_too_slow", sentence) from None
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._max_body:
                raise RequestError(413, "body_too_large", self._size_message)
            return message

        return limited


class _Exchange:
    """One request and its response."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope, self._send, self._id = scope, send, request_id
        self._started = time.perf_counter()
        self._status = 0
        self._swallowing = False

    async def send(self, message: Message) -> None:
        """Pass a message on, adding headers to the first; what others refuse is given the form of all errors."""
        if self._swallowing:
            return
        if message["type"] == "http.response.start":
            headers = dict(message.get("headers", []))
            plain = headers.get(b"content-type", b"").startswith(b"text/plain")
            if message["status"] == 500 or (message["status"] in _ROUTED and plain):
                allow = [(b"allow", headers[b"allow"])] if b"allow" in headers else []
                await self.refuse(message["status"], *_ROUTED[message["status"]], allow)
                self._swallowing = True
                return
            await self._start(message["status"], message.get("headers", []))
        else:
            await self._send(message)

    async def _start(self, status: int, headers: Headers) -> None:
        self._status = status
        headers = list(headers)
        present = {name.lower() for name, _ in headers}
        added = [*_HEADERS.items(), (b"x-request-id", self._id.encode())]
        headers += [(name, value) for name, value in added if name not in present]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def refuse(
        self, status: int, code: str, sentence: str, extra: Headers = ((b"connection", b"close"),)
    ) -> None:
        """Answer with an error; no answer has begun."""
        body = json.dumps({"error": {"code": code, "message": sentence}, "request_id": self._id}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *extra]
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    def log(self) -> None:
        """One JSON line without any content."""
        state = self._scope["state"]
        record = {
            "request_id": self._id,
            "method": self._scope["method"],
            "path": self._scope["path"],
            "status": self._status,
            "milliseconds": round(1000 * (time.perf_counter() - self._started), 1),
            "images": state.get("images", 0),
        }
        _log.info("request", extra={"record": record})


def _declared_length(headers: dict[bytes, bytes]) -> int:
    declared = headers.get(b"content-length", b"0")
    return int(declared) if declared.isdigit() else 0


async def while_connected(request: Request, answer: Coroutine[Any, Any, Response], seconds: float) -> Response:
    """The answer, unless it takes too long or the client goes away first; the request's body must have been read.

    Raises:
        RequestError: In either case.
    """
    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({answering, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        if leaving.done():
            raise RequestError(499, "disconnected", "the client closed the connection")
        raise RequestError(504, "timeout", f"not read within {seconds:g} s")
    finally:
        answering.cancel()
        leaving.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
