"""Serves HTTP: requests are answered from the replicas held here, ratings go to their topic."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from recommender.experiments.log_writer import LogWriter
from recommender.messages.content_types import Headers
from recommender.messages.ratings import BadMessage
from recommender.messages.request_headers import RequestHeaders
from recommender.messages.requests import Request, decode_request
from recommender.messages.responses import Failure, Response
from recommender.worker.answers import Answers, HandedOver, NotHeld
from recommender.worker.http_ratings import RatingWriter
from recommender.worker.together import Together

#: Calls that are answered at once; more are refused.
MAX_CALLS = 10_000
#: While requests move to other workers, this is the time until one is asked again.
MOVING_SECONDS = 0.02

#: Asks the worker that holds a partition of the journal; `recommender.worker.passing_on` has the parameters.
PassOn = Callable[[int, Request, bytes, bytes, Headers, float], Awaitable[bytes]]


@dataclass(slots=True)
class Call:
    """A request that came over HTTP, as a record."""

    headers: Headers
    value: bytes | None
    timestamp: int
    offset: int
    key: bytes | None = None
    topic: str = "HTTP"
    partition: int = 0


class _Error(msgspec.Struct):
    code: str


class _Outcome(msgspec.Struct):
    ok: bool
    error: _Error | None = None


class HttpService:
    """Answers requests and writes ratings that come over HTTP.

    Parameters
    ----------
    answers : Answers
    ratings : RatingWriter
    request_wait : float
        How long a request may wait for learning, in seconds.
    answered : function
        Called with every answer's code and the seconds that it took.
    arrived : function
        Called at every request, so that learning gives way to those that follow.
    log : LogWriter, optional
    pass_on : function, optional
        Asks another worker, where one knows some users only.
    """

    def __init__(
        self,
        answers: Answers,
        ratings: RatingWriter,
        *,
        request_wait: float,
        answered: Callable[[str, float], None],
        arrived: Callable[[], None],
        log: LogWriter | None = None,
        pass_on: PassOn | None = None,
    ) -> None:
        self._answers, self._ratings = answers, ratings
        self._request_wait, self._answered, self._arrived = request_wait, answered, arrived
        self._log, self._pass_on = log, pass_on
        self._together = Together()
        self._calls = self._count = 0
        self._logging: set[asyncio.Task[None]] = set()

    async def rate(self, value: bytes) -> bytes:
        """Write ratings; where they are, as JSON.

        Raises
        ------
        Failure
            One is no rating, or Kafka has not confirmed all.
        """
        written = await self._ratings.write(value)
        return orjson.dumps({"ok": True, "written": [each._asdict() for each in written]})

    async def recommend(self, value: bytes, headers: Headers, identity: bytes) -> tuple[str, bytes]:
        """The code and the body of the answer to a request; a failure is an answer.

        Parameters
        ----------
        value : bytes
            The request.
        headers : list of (str, bytes)
            ``content-type`` and ``deadline-ms``, as a record would have them.
        identity : bytes
            What tells the request from others.
        """
        started = time.monotonic()
        self._arrived()
        self._count += 1
        call = Call(headers, None, int(time.time() * 1000), self._count)
        if self._calls >= MAX_CALLS:
            raise Failure("busy", f"{MAX_CALLS} calls are being answered already, try again", retriable=True)
        self._calls += 1
        try:
            code, body = await self._answer(value, call, identity, started)
        except Failure as error:
            code, body = error.code, error.encode()
        finally:
            self._calls -= 1
        self._answered(code, time.monotonic() - started)
        return code, body

    async def _answer(self, value: bytes, call: Call, identity: bytes, started: float) -> tuple[str, bytes]:
        try:
            request = decode_request(value, call.headers)
            limit = self._limit(call, started)
        except BadMessage as error:
            raise Failure("bad_request", str(error)) from None
        if not self._answers.may_answer(request):
            raise Failure("not_caught_up", "this worker still follows the journal to its end", retriable=True)
        while True:
            try:
                response = await self._answers.answer(request, identity, limit, together=self._together)
                break
            except HandedOver:
                await asyncio.sleep(MOVING_SECONDS)  # requests over Kafka move; those over HTTP stay
            except NotHeld as elsewhere:
                if self._pass_on is None:
                    raise
                body = await self._pass_on(elsewhere.partition, request, value, identity, call.headers, limit)
                outcome = msgspec.json.decode(body, type=_Outcome)
                return "ok" if outcome.error is None else outcome.error.code, body
        self._write_log(call, identity, response)
        return "ok", response.encode()

    def _limit(self, call: Call, started: float) -> float:
        """The time until which a request may wait, by the monotonic clock."""
        limit = started + self._request_wait
        if not call.headers:
            return limit
        deadline = RequestHeaders.of(call).deadline
        if deadline is None:
            return limit
        left = deadline - time.time()
        if left < 0:
            raise Failure(
                "deadline_exceeded", "the deadline had passed before the request was read", retriable=True
            )
        return min(limit, started + left)

    def _write_log(self, call: Call, identity: bytes, response: Response) -> None:
        """Log what was recommended, without making the caller wait."""
        if self._log is None or response.user is None:
            return
        task = asyncio.create_task(self._log.write(call, identity, response))
        self._logging.add(task)
        task.add_done_callback(self._logging.discard)

    async def close(self, within: float) -> None:
        """Let Kafka confirm what is under way."""
        waiting: set[asyncio.Task[Any]] = {*self._logging, *self._ratings.sending}
        if waiting:
            await asyncio.wait(waiting, timeout=within)
