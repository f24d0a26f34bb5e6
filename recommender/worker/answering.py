"""Answers the requests of the request topic: each gets exactly one reply."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from recommender.experiments.log_writer import LogWriter
from recommender.kafka.refusals import has_ended
from recommender.messages.ratings import BadMessage
from recommender.messages.records import Location, Record, Send
from recommender.messages.request_headers import RequestHeaders, forwarded, returned
from recommender.messages.requests import decode_request
from recommender.messages.responses import Failure, Response
from recommender.messages.unreadable import Unreadable
from recommender.worker.answers import Answers, HandedOver, NotHeld
from recommender.worker.progress import PartitionProgress, RequestProgress
from recommender.worker.replies import RETRY_SECONDS, Delivery, NoReplyError, Target

logger = logging.getLogger(__name__)

#: Replies under way at once.
UNDER_WAY = 1000
#: What a request counts as that not even a failure could be written for.
NO_REPLY = "no_reply"


class NotBuriedError(Exception):
    """A record that cannot be read did not reach the dead letters, so nothing may be committed past it."""


class Answerer:
    """Answers requests that come over Kafka.

    Parameters
    ----------
    answers : Answers
    send : Send
        Sends a record to a topic.
    requests_topic, responses_topic : str
    reply_topics : iterable of str
        Patterns of the topics that a request may name.
    request_wait : float
        How long a request may wait for learning, in seconds.
    answered : function
        Called with every reply's code (``ok`` or a failure's) and the seconds from the worker's receipt.
    bury : function
        Sends what cannot be read to the dead letters; returns when the broker has it.
    log : LogWriter, optional
        Where to log what was recommended.
    max_age : float
        How old a request may be where the group has committed nothing, in seconds.
    under_way : int
        Replies under way at once; more requests wait in Kafka.
    retry_seconds : float
        See `Delivery`.
    """

    def __init__(
        self,
        answers: Answers,
        send: Send,
        *,
        requests_topic: str,
        responses_topic: str,
        reply_topics: Iterable[str],
        request_wait: float,
        answered: Callable[[str, float], None],
        bury: Callable[[Unreadable], Awaitable[object]],
        log: LogWriter | None = None,
        max_age: float = 60.0,
        under_way: int = UNDER_WAY,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._answers = answers
        self._delivery = Delivery(
            send,
            requests_topic=requests_topic,
            responses_topic=responses_topic,
            reply_topics=reply_topics,
            retry_seconds=retry_seconds,
        )
        self.progress = RequestProgress(requests_topic, max_age)
        self._responses_topic = responses_topic
        self._request_wait = request_wait
        self._answered = answered
        self._bury = bury
        self._log = log
        self._under_way = asyncio.Semaphore(under_way)
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, partition: int, records: Sequence[Record]) -> None:
        """Begin to answer consecutive requests of a partition."""
        progress = self.progress.get(partition)
        if progress is None or not progress.current:
            return  # the partition moved while they were on their way
        for record in records:
            await self._under_way.acquire()
            if self.progress.get(partition) is not progress or not progress.current:
                self._under_way.release()
                return  # it moved; if it has come back, it is read from where its last owner got to
            if record.offset < progress.next:
                self._under_way.release()
                continue
            progress.next = record.offset + 1
            if self.progress.is_old(progress, record):
                self._under_way.release()
                continue
            progress.open.add(record.offset)
            task = asyncio.create_task(self._settle(progress, record))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0)

    def passed(self, partition: int, offset: int) -> None:
        """All of a partition below an offset was taken; marks of transactions are no lag."""
        progress = self.progress.get(partition)
        if progress is not None and progress.current:
            progress.next = max(progress.next, offset)

    async def hand_over(self, within: float) -> None:
        """Settle all that is under way, because partitions are about to move or the worker stops.

        Requests that wait for learning go back to the end of their partition, for its next owner. No
        more are begun, as the next owner would answer them once more, until `RequestProgress.start_at` has
        said from where a partition is read that has come back.
        """
        for progress in self.progress.values():
            progress.current = False
        await self._answers.hand_over()
        try:
            if self._tasks:
                await asyncio.wait(set(self._tasks), timeout=within)
        finally:
            self._answers.resume()

    async def _settle(self, progress: PartitionProgress, record: Record) -> None:
        """One request from beginning to end."""
        started, response, identity = time.monotonic(), None, b""
        try:
            asked = RequestHeaders.of(record)
            identity = asked.identity
            code, response = await self._reply(record, asked, started)
        except NotBuriedError as error:
            logger.error("%s cannot go to the dead letters: %s", Location.of(record), error)
            return  # it is open, so it comes again when a worker starts
        except Exception as error:
            if has_ended(error):
                return  # it is open, so it comes again when a worker is there
            # What cannot succeed is no reason to answer all that comes after it once more.
            code, why = NO_REPLY, str(error) if isinstance(error, NoReplyError) else repr(error)
            logger.error("%s can have no reply: %s", Location.of(record), why)
        finally:
            self._under_way.release()
        self._answered(code, time.monotonic() - started)
        if response is not None and self._log is not None:
            await self._log.write(record, identity, response)
        progress.open.discard(record.offset)

    async def _reply(
        self, record: Record, asked: RequestHeaders, started: float
    ) -> tuple[str, Response | None]:
        """Send the reply; its code, and the recommendations for a user that it took there."""
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
                response = await self._answer(record, asked, started)
            except (NotHeld, HandedOver) as why:
                return await self._pass_on(record, asked, why, started), None
            value, failure = response.encode(), None
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
            record, asked, target, value if failure is None else failure.encode(), failure
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
            resting=self._under_way.release,
            resumed=self._under_way.acquire,
        )
