"""Logs as JSON lines on standard error: requests, the server's own words, tracebacks; never image content."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request that is being answered."""


class JsonLines(logging.Formatter):
    """One JSON object a record; what a record carries as `record` is part of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        if REQUEST_ID.get():
            said["request_id"] = REQUEST_ID.get()
        said |= getattr(record, "record", None) or {"message": record.getMessage()}
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False, default=str)


def write_json_lines() -> None:
    """Send this service's and BentoML's logs of this process to standard error as JSON lines."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    for name in ("ocrformer", "bentoml"):
        log = logging.getLogger(name)
        log.handlers = [handler]
        log.propagate = False
    logging.getLogger("ocrformer").setLevel(logging.INFO)
