"""The live page: one HTML file, one script, one style sheet, and a stream of figures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Protocol

import orjson
from aiohttp import web

from recommender.messages.responses import Failure
from recommender.web.guard import Guard

logger = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
#: What the page may load: its own files. No script or style stands in the HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}
#: Pages that are open at once; another one is refused.
MAX_STREAMS = 20
#: A page that takes nothing for this long is let go, in seconds.
SLOW_SECONDS = 10.0
#: After this many milliseconds a browser asks again.
RETRY_MILLISECONDS = 2000


class Source(Protocol):
    """The figures that the page shows."""

    def start(self, *, people: bool) -> bytes:
        """The content of a page that was just opened, as JSON."""

    def ticks(self, *, people: bool) -> AsyncIterator[bytes]:
        """The latest figures, as JSON, once a second; ends when the worker does."""

    def history(self, user: str) -> dict[str, object] | None:
        """A user's ratings, newest first; None where another worker knows them."""

    def items(self, part: str) -> list[dict[str, str | None]]:
        """Some items whose title or id has a part."""


class LivePage:
    """The page and what it asks for.

    Parameters
    ----------
    source : Source
    shows_people : function
        Tells by a request's headers whether its sender may see persons.
    guard : Guard
        Of calls that bring a token.
    """

    def __init__(
        self, source: Source, shows_people: Callable[[Mapping[str, str]], bool], guard: Guard
    ) -> None:
        self._source, self._shows_people, self._guard = source, shows_people, guard
        self._files = {each.name: each.read_bytes() for each in STATIC.iterdir() if each.suffix in TYPES}
        self._streams = 0

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the page to a server's paths."""
        router.add_get("/", self._page)
        router.add_get("/static/{name}", self._static)
        router.add_get("/live", self._stream, allow_head=False)
        router.add_get("/live/history", self._history, allow_head=False)
        router.add_get("/live/items", self._items, allow_head=False)

    async def _page(self, request: web.Request) -> web.Response:
        return self._file("index.html")

    async def _static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    def _file(self, name: str) -> web.Response:
        if name not in self._files:
            return web.Response(status=404, text="there is no such file\n", headers=HEADERS)
        return web.Response(
            body=self._files[name],
            content_type=TYPES[Path(name).suffix],
            charset="utf-8",
            headers={**HEADERS, "Cache-Control": "no-cache"},
        )

    async def _history(self, request: web.Request) -> web.Response:
        if not self._shows_people(request.headers):
            return _json({"error": "this worker shows no persons: RECOMMENDER_WEB_PEOPLE says to whom"}, 403)
        refused = self._refused(request)
        if refused is not None:
            return refused
        found = self._source.history(request.query.get("user", ""))
        if found is None:
            return _json({"error": "another worker knows this user"}, 404)
        return _json(found, 200)

    async def _items(self, request: web.Request) -> web.Response:
        part = request.query.get("part", "").strip()
        return self._refused(request) or _json(self._source.items(part) if part else [], 200)

    def _refused(self, request: web.Request) -> web.Response | None:
        """The answer to a call that lacks its token, or that another site has sent."""
        try:
            self._guard.check(request.headers)
        except Failure as error:
            return _json({"error": error.message}, 401 if error.code == "unauthorized" else 403)
        return None

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._streams >= MAX_STREAMS:
            return web.Response(
                status=503, text=f"{MAX_STREAMS} pages are open already\n", headers={"Retry-After": "10"}
            )
        people = self._shows_people(request.headers)
        response = web.StreamResponse(
            headers={**HEADERS, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        response.content_type = "text/event-stream"
        self._streams += 1
        try:
            await response.prepare(request)
            await response.write(b"retry: %d\n\n" % RETRY_MILLISECONDS)
            await response.write(b"event: start\ndata: %b\n\n" % self._source.start(people=people))
            async for tick in self._source.ticks(people=people):
                async with asyncio.timeout(SLOW_SECONDS):
                    await response.write(b"data: %b\n\n" % tick)
        except (ConnectionError, TimeoutError):
            logger.debug("a page was closed, or takes no more")
        finally:
            self._streams -= 1
        return response


def _json(told: object, status: int) -> web.Response:
    return web.Response(
        body=orjson.dumps(told),
        status=status,
        content_type="application/json",
        headers={**HEADERS, "Cache-Control": "no-store"},
    )
