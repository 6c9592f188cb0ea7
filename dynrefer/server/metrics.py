"""What the service counts, as Prometheus reads it."""

import time
from collections.abc import Collection
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60)


class Metrics:
    """The counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)  # memory, processor time, open files
        own: dict[str, Any] = {"namespace": "dynrefer", "registry": self.registry}
        self.requests = Counter("requests", "Requests answered.", ["path", "status"], **own)
        self.seconds = Histogram("request_seconds", "Seconds to an answer's end.", ["path"], buckets=SECONDS, **own)
        self.regions = Counter("regions", "Regions described.", **own)
        self.stages = Counter("stage_seconds", "Seconds that regions took, by stage.", ["stage"], **own)
        self.refusals = Counter("refusals", "Requests refused, by reason.", ["reason"], **own)
        self.together = Histogram(
            "regions_together", "Regions in one pass of the network.", buckets=tuple(range(1, 9)), **own
        )
        self.open_requests = Gauge("open_requests", "Questions being read, waiting or answered.", **own)
        self.waiting_regions = Gauge("waiting_regions", "Regions that wait or are being answered.", **own)
        self.ready = Gauge("ready", "1 once the model is warm.", **own)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)


class Counted:
    """ASGI middleware that counts answers and how long they took, by path and status."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Collection[str]) -> None:
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; paths that do not exist are counted together, so that strangers cannot add rows."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path, start, status = scope["path"] if scope["path"] in self.paths else "other", time.monotonic(), "none"

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.monotonic() - start)
