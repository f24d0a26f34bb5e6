"""HTTP: recommend, rate, similar items; the same JSON, checks and failures as over Kafka."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable
from typing import Protocol

import orjson
from aiohttp import web

from recommender.messages.content_types import HEADER, Headers
from recommender.messages.ratings import MAX_ID_BYTES, BadMessage
from recommender.messages.requests import MAX_REQUEST_BYTES
from recommender.messages.responses import Failure
from recommender.web.bodies import read_body
from recommender.web.guard import Guard
from recommender.web.openapi import document
from recommender.web.queries import item_of, request_of
from recommender.web.written import HEADERS, JSON, ok

logger = logging.getLogger(__name__)

#: By the code of a failure; any other is a fault of the worker.
STATUS = {
    "bad_request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "timeout": 408,
    "too_large": 413,
    "unsupported_media_type": 415,
    "internal_error": 500,
    "rating_not_accepted": 502,
    "busy": 503,
    "not_caught_up": 503,
    "unconfirmed": 503,
    "deadline_exceeded": 504,
    "no_answer": 504,
}
#: Failures after which the rest of the body is not waited for.
UNREAD = (408, 413, 415)
#: Names a request; one that comes again under the same name is the same.
REQUEST_ID = "X-Request-Id"
DEADLINE = "deadline-ms"
#: Of a request that has no name; as long as a UUID.
NAME_BYTES = 16
#: An item's id as it comes, percent-encoded.
SIMILAR = re.compile(r"/items/([^/?#]+)/similar")


class Service(Protocol):
    """Answers requests and writes ratings."""

    async def recommend(self, value: bytes, headers: Headers, identity: bytes) -> tuple[str, bytes]:
        """The code and the body of the answer to a request; a failure is an answer."""

    async def rate(self, value: bytes) -> bytes:
        """Write ratings; the body of the answer. Raises `Failure`."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The calls, and what they answer.

    Parameters
    ----------
    service : Service
    guard : Guard
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``.

    Attributes
    ----------
    recommend_by_query : function
        The handler of ``GET /recommend``.
    """

    def __init__(self, service: Service, guard: Guard, low: float, high: float, *, skips: bool) -> None:
        self._service, self._guard = service, guard
        self._document = orjson.dumps(document(low, high, skips=skips))
        self.recommend_by_query = self._guarded(self._recommend_by_query)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the calls to a server's paths."""
        router.add_post("/recommend", self._guarded(self._recommend))
        router.add_get("/recommend", self.recommend_by_query, allow_head=False)
        router.add_get("/items/{item:(?s:.+)}/similar", self._guarded(self._similar), allow_head=False)
        router.add_post("/ratings", self._guarded(self._rate))
        router.add_get("/openapi.json", self._openapi, allow_head=False)

    def _guarded(self, handle: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                self._guard.check(request.headers)
                return await handle(request)
            except Failure as error:
                failure = error
            except BadMessage as error:
                failure = Failure("bad_request", str(error))
            except Exception as error:
                logger.exception("%s %.200s could not be answered", request.method, request.path)
                failure = Failure("internal_error", f"{type(error).__name__}: {error}", retriable=True)
            return _answer(request, failure.code, failure.encode())

        return answer

    async def _recommend(self, request: web.Request) -> web.StreamResponse:
        value = await read_body(request, MAX_REQUEST_BYTES, packed=True)
        return await self._ask(request, value, [(HEADER, request.headers["Content-Type"].encode())])

    async def _recommend_by_query(self, request: web.Request) -> web.StreamResponse:
        return await self._ask(request, request_of(_query(request)), [])

    async def _similar(self, request: web.Request) -> web.StreamResponse:
        found = SIMILAR.fullmatch(_path(request))
        if found is None:
            raise Failure(
                "bad_request", "the path is not /items/ITEM/similar: a slash of an id is written as %2F"
            )
        return await self._ask(request, request_of(_query(request), similar_to=item_of(found[1])), [])

    async def _ask(
        self, request: web.Request, value: bytes, headers: list[tuple[str, bytes]]
    ) -> web.StreamResponse:
        given = request.headers.get(REQUEST_ID, "").encode("utf-8", "replace")[:MAX_ID_BYTES]
        deadline = request.headers.get(DEADLINE)
        if deadline is not None:
            headers = [*headers, (DEADLINE, deadline.encode("utf-8", "replace"))]
        return _answer(
            request, *await self._service.recommend(value, headers, given or os.urandom(NAME_BYTES))
        )

    async def _rate(self, request: web.Request) -> web.StreamResponse:
        value = await read_body(request, MAX_REQUEST_BYTES, packed=False)
        return ok(request, await self._service.rate(value))

    async def _openapi(self, request: web.Request) -> web.StreamResponse:
        return ok(request, self._document)


def _answer(request: web.BaseRequest, code: str, body: bytes) -> web.StreamResponse:
    if code == "ok":
        return ok(request, body)
    status = STATUS.get(code, 500)
    response = web.Response(
        body=body, status=status, content_type=JSON, headers={**HEADERS, "error-code": code}
    )
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        response.headers["Retry-After"] = "1"
    if status in UNREAD:
        response.force_close()
    return response


def _path(request: web.Request) -> str:
    """The path as it came: a slash that belongs to an id is still ``%2F``."""
    return request.raw_path.partition("?")[0]


def _query(request: web.Request) -> str:
    return request.raw_path.partition("?")[2].partition("#")[0]
