"""Prometheus metrics of the service, of all its processes; those of BentoML grow with every path that is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector

from ocrformer import ImageError, Line

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def all_processes() -> CollectorRegistry:
    """What all processes that answer have counted: BentoML gives them a folder for it."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class Metrics:
    """Counts what is read and refused, and how long lines wait and are read."""

    def __init__(self) -> None:
        self.requests = Counter("ocrformer_requests", "Requests that were answered", ["route"])
        self.images = Counter("ocrformer_images", "Images by status", ["status"])
        self.characters = Counter("ocrformer_characters", "Characters written")
        self.rejects = Counter("ocrformer_rejects", "Requests and images refused, by reason", ["reason"])
        self.batch_lines = Histogram(
            "ocrformer_batch_lines", "Lines per batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
        )
        self.queue_seconds = Histogram("ocrformer_queue_seconds", "Longest wait in a batch", buckets=_SECONDS)
        self.model_seconds = Histogram(
            "ocrformer_model_seconds", "Time of decoding and reading a batch", buckets=_SECONDS
        )

    def results(self, results: Sequence[Line | ImageError]) -> None:
        """Count the images of one request."""
        self.requests.labels("/read").inc()
        for result in results:
            if isinstance(result, Line):
                self.images.labels(result.status).inc()
                self.characters.inc(len(result.text))
            else:
                self.images.labels("failed").inc()
                self.rejects.labels(result.code).inc()

    def attended(self) -> None:
        """Count one attention picture."""
        self.requests.labels("/attention").inc()
        self.images.labels("attended").inc()

    def batch(self, lines: int, waited: float, spent: float) -> None:
        """Note one batch."""
        self.batch_lines.observe(lines)
        self.queue_seconds.observe(waited)
        self.model_seconds.observe(spent)

    def rejected(self, reason: str) -> None:
        """Count a refused request."""
        self.rejects.labels(reason).inc()
