"""The worker's status pages: is it alive, is it ready, what has it learned, what does it count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from faust.web import Request, Response, View

if TYPE_CHECKING:
    from recommender.worker.app import WorkerApp


def add_pages(app: WorkerApp) -> None:
    """Add ``/livez``, ``/readyz``, ``/status`` and ``/metrics``."""

    @app.page("/livez")
    async def livez(web: View, request: Request) -> Response:
        return web.text("ok\n")

    @app.page("/readyz")
    async def readyz(web: View, request: Request) -> Response:
        loaded = bool(app.shards.held) and not app.shards.opening
        ready = loaded and not app.rebalancing and app.flow_control.is_active()
        return web.text("ready\n" if ready else "not ready\n", status=200 if ready else 503)

    @app.page("/status")
    async def status(web: View, request: Request) -> Response:
        return web.json(app.metrics.status())

    @app.page("/metrics")
    async def metrics(web: View, request: Request) -> Response:
        return web.bytes(app.metrics.exposition(), content_type="text/plain")
