"""Faust's web server, with an end to idle connections and to their number."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from faust.web.drivers import aiohttp as driver

from recommender.web import limits
from recommender.worker.transport import FAUST_LOGGER

logger = logging.getLogger(__name__)


def most_connections() -> int:
    """The limit of connections: a half of the descriptors that the process may have, or fewer."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return limits.MAX_CONNECTIONS
    return min(limits.MAX_CONNECTIONS, max(16, descriptors // 2))


def _is_fault(record: logging.LogRecord) -> bool:
    """Return False for what says that bytes were no HTTP: callers may send what they like."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


Handler = Callable[[Any], Awaitable[web.StreamResponse]]


class WebServer(driver.Web):
    """Serves pages and calls on one port.

    Without a bound a client that opens many connections takes the descriptors that Kafka's connections need.
    With it the oldest make room: a caller that keeps one open finds it closed, as after a proxy's timeout,
    and opens another.
    """

    logger = FAUST_LOGGER

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self.most_connections = most_connections()
        self._serving = web.AppRunner(
            self.web_app,
            access_log=None,
            keepalive_timeout=limits.IDLE_SECONDS,
            lingering_time=limits.LINGERING_SECONDS,
            max_line_size=limits.MAX_LINE_BYTES,
            auto_decompress=False,
            shutdown_timeout=limits.SHUTDOWN_SECONDS,
            logger=logger,
        )
        logger.addFilter(_is_fault)
        self._listening: asyncio.Server | None = None
        self._busy: set[Any] = set()
        #: Handlers of GET by paths as they come: these need not be looked for.
        self.frequent: dict[str, Handler] = {}

    async def start_server(self) -> None:
        """Listen."""
        await self._serving.setup()
        server = self._serving.server
        assert server is not None
        self._route, server.request_handler = server.request_handler, self._handle
        conf: Any = self.app.conf
        self._listening = await asyncio.get_running_loop().create_server(
            self._connected, conf.web_bind, conf.web_port, ssl=conf.web_ssl_context, backlog=128
        )

    async def stop_server(self) -> None:
        """Answer what is under way, and close all connections."""
        if self._listening is not None:
            self._listening.close()
        await self._serving.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a call; know meanwhile that its connection has one under way."""
        self._busy.add(request.protocol)
        try:
            # Whoever waits for a word before sending a body gets it from aiohttp.
            if request.method == "GET" and "Expect" not in request.headers:
                handler = self.frequent.get(request.raw_path.partition("?")[0])
                if handler is not None:
                    return await handler(request)
            return await self._route(request)
        finally:
            self._busy.discard(request.protocol)

    def _connected(self) -> asyncio.Protocol:
        """The protocol of a new connection; the oldest ones make room for it, idle ones first."""
        server = self._serving.server
        assert server is not None
        connections = server.connections
        surplus = len(connections) + 1 - self.most_connections
        if surplus > 0:
            idle = [each for each in connections if each not in self._busy]
            for oldest in (idle or connections)[:surplus]:
                oldest.force_close()
        return server()
