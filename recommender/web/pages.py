"""The worker's status pages: is it alive, is it ready, what has it learned, what does it count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from faust.types import AppT
from faust.web import Request, Response, View
from prometheus_client import CONTENT_TYPE_LATEST


class Reporter(Protocol):
    """Says how the worker is."""

    def status(self) -> dict[str, Any]:
        """What the status page shows."""

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""


def add_pages(app: AppT, reporter: Reporter, not_ready: Callable[[], str | None]) -> None:
    """Add ``/livez``, ``/readyz``, ``/status`` and ``/metrics``.

    Parameters
    ----------
    app : faust.App
    reporter : Reporter
    not_ready : function
        In a sentence, why the worker is not ready; None if it is.
    """

    @app.page("/livez")
    async def livez(web: View, request: Request) -> Response:
        return web.text("ok\n")

    @app.page("/readyz")
    async def readyz(web: View, request: Request) -> Response:
        why = not_ready()
        return web.text(f"not ready: {why}\n" if why else "ready\n", status=503 if why else 200)

    @app.page("/status")
    async def status(web: View, request: Request) -> Response:
        why = not_ready()
        return web.json({"ready": why is None, "not_ready": why, **reporter.status()})

    @app.page("/metrics")
    async def metrics(web: View, request: Request) -> Response:
        kind, _, parameters = CONTENT_TYPE_LATEST.partition("; charset=")
        return web.bytes(reporter.exposition(), content_type=kind.strip() or parameters)
