"""The worker's status pages: is it alive, is it ready, what has it learned, what does it count."""

from __future__ import annotations

from typing import Any, Protocol

from faust.types import AppT
from faust.web import Request, Response, View
from prometheus_client import CONTENT_TYPE_LATEST

from recommender.web.health import Health, failing, page


class Reporter(Protocol):
    """Says what the worker does."""

    def status(self) -> dict[str, Any]:
        """The content of the status page."""

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""


def add_pages(app: AppT, reporter: Reporter, health: Health) -> None:
    """Add ``/livez``, ``/readyz``, ``/status`` and ``/metrics``.

    Parameters
    ----------
    app : faust.App
    reporter : Reporter
    health : Health
    """

    @app.page("/livez")
    async def livez(web: View, request: Request) -> Response:
        return web.text(f"alive: {health.alive()}\n")

    @app.page("/readyz")
    async def readyz(web: View, request: Request) -> Response:
        checks = health.checks()
        return web.text(page(checks), status=503 if failing(checks) else 200)

    @app.page("/status")
    async def status(web: View, request: Request) -> Response:
        checks = health.checks()
        why = failing(checks)
        told = {"ready": why is None, "not_ready": why, "checks": [each._asdict() for each in checks]}
        return web.json({**told, **reporter.status()})

    @app.page("/metrics")
    async def metrics(web: View, request: Request) -> Response:
        kind, _, parameters = CONTENT_TYPE_LATEST.partition("; charset=")
        return web.bytes(reporter.exposition(), content_type=kind.strip() or parameters)
