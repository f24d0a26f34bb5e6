"""Replies to one request whose reply is not a list that can be made and sent at once: it waits, or fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable

from recommender.kafka.refusals import has_ended
from recommender.messages.ratings import BadMessage
from recommender.messages.records import Location, Record
from recommender.messages.request_headers import RequestHeaders, forwarded, returned
from recommender.messages.requests import decode_request
from recommender.messages.responses import Failure, Response
from recommender.messages.unreadable import Unreadable
from recommender.worker.answers import Answers, HandedOver, NotHeld
from recommender.worker.progress import Begun
from recommender.worker.replies import Delivery
from recommender.worker.reply_topics import Target

logger = logging.getLogger(__name__)


class NotBuriedError(Exception):
    """A record that cannot be read did not reach the dead letters, so nothing may be committed past it."""


class Responder:
    """Makes replies.

    Parameters
    ----------
    answers : Answers
    delivery : Delivery
    responses_topic : str
    request_wait : float
        How long a request may wait for learning, in seconds.
    bury : function
        Sends what cannot be read to the dead letters; returns when the broker has it.
    resting, resumed : function
        Called before a request waits, and after: others must get their answers meanwhile.
    """

    def __init__(
        self,
        answers: Answers,
        delivery: Delivery,
        *,
        responses_topic: str,
        request_wait: float,
        bury: Callable[[Unreadable], Awaitable[object]],
        resting: Callable[[], None],
        resumed: Callable[[], object],
    ) -> None:
        self._answers, self._delivery = answers, delivery
        self._responses_topic, self._request_wait = responses_topic, request_wait
        self._bury, self._resting, self._resumed = bury, resting, resumed

    async def reply(
        self, record: Record, asked: RequestHeaders, started: float, begun: Begun | None
    ) -> tuple[str, Response | None]:
        """Send the reply, also again; its code, and the recommendations for a user that it took there."""
        if isinstance(record, Unreadable):
            logger.warning("%s; it goes to the dead letters", record)
            try:
                await self._bury(record)
            except Exception as error:
                raise NotBuriedError(str(error)) from error
            if not asked.correlation:
                return "unreadable", None  # no client could tell whose reply it is
        target = Target(self._responses_topic)
        response: Response | None = None
        try:
            if asked.reply_topic is not None:
                target = Target(self._delivery.reply_topics.allowed(asked.reply_topic))
            target = target._replace(partition=asked.reply_partition)
            try:
                response = await self._answer(record, asked, started) if begun is None else begun.response
            except (NotHeld, HandedOver) as why:
                return await self._pass_on(record, asked, why, started), None
            value, failure = (response.encode() if begun is None else begun.value), None
        except Failure as error:
            failure = error
        except BadMessage as error:
            failure = Failure("bad_request", str(error))
        except Exception as error:
            if has_ended(error):
                raise
            logger.exception("%s could not be answered", Location.of(record))
            failure = Failure("internal_error", f"{type(error).__name__}: {error}", retriable=True)
        code = await self._delivery.reply(
            record,
            asked,
            target,
            value if failure is None else failure.encode(),
            failure,
            None if begun is None else begun.sent,
        )
        shown = response if code == "ok" and response is not None and response.user is not None else None
        return code, shown

    async def _pass_on(
        self, record: Record, asked: RequestHeaders, why: NotHeld | HandedOver, started: float
    ) -> str:
        """Send the request to a worker that can answer it, or back to its topic; return what it counts as."""
        if isinstance(why, HandedOver):
            waited = asked.waited + time.monotonic() - started
            await self._delivery.request(returned(record, waited))
            return "handed_over"
        if asked.forwarded is not None:
            raise Failure("internal_error", f"{why}, although it was passed on once", retriable=True)
        await self._delivery.request(forwarded(record, why.partition))
        return "forwarded"

    async def _answer(self, record: Record, asked: RequestHeaders, started: float) -> Response:
        """The response. How long it waits is measured by our own clock: its record has another one's."""
        if isinstance(record, Unreadable):
            raise BadMessage(record.cause)
        request = decode_request(record.value, record.headers or ())
        limit = started + max(0.0, self._request_wait - asked.waited)
        deadline = asked.deadline
        if deadline is not None:
            left = deadline - time.time()
            if left < 0:
                raise Failure(
                    "deadline_exceeded", "the deadline had passed before the request was read", retriable=True
                )
            limit = min(limit, time.monotonic() + left)
        # A request that waits must not keep others from their answers.
        return await self._answers.answer(
            request,
            asked.identity,
            limit,
            resting=self._resting,
            resumed=self._resumed,
        )
