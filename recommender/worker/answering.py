"""Answers the requests of the request topic: each gets exactly one reply."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from recommender.experiments.log_writer import LogWriter
from recommender.kafka.refusals import has_ended
from recommender.messages.records import Location, Record, Send, SendKnown
from recommender.messages.request_headers import RequestHeaders, reply_to
from recommender.messages.requests import decode_request
from recommender.messages.responses import Response
from recommender.messages.unreadable import Unreadable
from recommender.worker.answers import Answers
from recommender.worker.pacing import clock, give_way
from recommender.worker.progress import Begun, PartitionProgress, RequestProgress
from recommender.worker.replies import RETRY_SECONDS, Delivery, NoReplyError
from recommender.worker.reply_topics import ReplyTopics, Target
from recommender.worker.responding import NotBuriedError, Responder

logger = logging.getLogger(__name__)

#: Replies under way at once.
UNDER_WAY = 1000
#: What a request counts as that not even a failure could be written for.
NO_REPLY = "no_reply"
#: Lists are made for so many seconds of the processor's time before all else has a turn, and their replies
#: travel together.
SLICE_SECONDS = 0.005


class Answerer:
    """Answers requests that come over Kafka.

    A list that needs to wait for nothing is made where its request is taken, one after the other. All else
    has a task of its own, see `Responder`.

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
    send_known : SendKnown, optional
        For replies that need to wait for nothing.
    taken : function
        Called when requests come.
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
        send_known: SendKnown = lambda topic, outgoing: None,
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        self._answers, self._send_known, self._taken = answers, send_known, taken
        self._responses_topic = responses_topic
        self._reply_topics = ReplyTopics([responses_topic, *reply_topics])
        delivery = Delivery(
            send,
            requests_topic=requests_topic,
            responses_topic=responses_topic,
            reply_topics=self._reply_topics,
            retry_seconds=retry_seconds,
        )
        self.progress = RequestProgress(requests_topic, max_age)
        self._answered, self._log = answered, log
        self._under_way = asyncio.Semaphore(under_way)
        self._responder = Responder(
            answers,
            delivery,
            responses_topic=responses_topic,
            request_wait=request_wait,
            bury=bury,
            resting=self._under_way.release,
            resumed=self._under_way.acquire,
        )
        #: Tasks of requests, and what says that a reply has arrived.
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Future[Any]] = set()

    async def take(self, partition: int, records: Sequence[Record]) -> None:
        """Begin to answer consecutive requests of a partition."""
        self._taken()
        progress = self.progress.get(partition)
        if progress is None or not progress.current:
            return  # the partition moved while they were on their way
        until = clock() + SLICE_SECONDS
        for record in records:
            if clock() >= until:
                await give_way(SLICE_SECONDS)
                until = clock() + SLICE_SECONDS
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
            begun = self._begin(record)
            if begun is not None and begun.sent is not None:
                self._sending.add(begun.sent)
                begun.sent.add_done_callback(partial(self._arrived, progress, record, begun))
            else:
                self._start(self._settle(progress, record, begun))
                await asyncio.sleep(0)  # so that it is not overtaken

    def _begin(self, record: Record) -> Begun | None:
        """Make the list of a request that needs to wait for nothing, and send it; else None."""
        started = time.monotonic()
        try:
            if isinstance(record, Unreadable):
                return None
            asked = RequestHeaders.of(record)
            target = self._target(asked)
            deadline = asked.deadline
            if deadline is not None and deadline < time.time():
                return None
            request = decode_request(record.value, record.headers or ())
            response = self._answers.answer_now(request, asked.identity)
            if response is None:
                return None
            value = response.encode()
        except Exception:  # it fails again where somebody is told
            return None
        sent = None
        if not self._reply_topics.has_failed(*target):
            with contextlib.suppress(Exception):  # the same
                sent = self._send_known(target.topic, reply_to(record, asked, value, None, target.partition))
        return Begun(asked, started, target, response, value, sent)

    def _target(self, asked: RequestHeaders) -> Target:
        """The destination of the reply.

        Raises
        ------
        Failure, BadMessage
            The headers name a topic that is not allowed, or no partition.
        """
        topic = self._responses_topic
        if asked.reply_topic is not None:
            topic = self._reply_topics.allowed(asked.reply_topic)
        return Target(topic, asked.reply_partition)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _arrived(
        self, progress: PartitionProgress, record: Record, begun: Begun, sent: asyncio.Future[Any]
    ) -> None:
        """Close a request whose list has arrived; one that Kafka did not take gets a task."""
        self._sending.discard(sent)
        response = begun.response
        if sent.cancelled() or sent.exception() is not None:
            self._start(self._settle(progress, record, begun))
            return
        self._under_way.release()
        self._reply_topics.found(*begun.target)
        self._answered("ok", time.monotonic() - begun.started)
        if self._log is None or response.user is None:
            progress.open.discard(record.offset)
        else:
            self._start(self._close(progress, record, begun.asked.identity, response))

    async def _close(
        self, progress: PartitionProgress, record: Record, identity: bytes, response: Response | None
    ) -> None:
        """Log what was shown; after that the request is done."""
        if response is not None and self._log is not None:
            await self._log.write(record, identity, response)
        progress.open.discard(record.offset)

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
        until = time.monotonic() + within
        try:
            while (work := {*self._tasks, *self._sending}) and (left := until - time.monotonic()) > 0:
                await asyncio.wait(work, timeout=left)
        finally:
            self._answers.resume()

    async def _settle(self, progress: PartitionProgress, record: Record, begun: Begun | None = None) -> None:
        """One request from beginning to end, or from where its list is made."""
        started = time.monotonic() if begun is None else begun.started
        response, identity = None, b""
        try:
            asked = RequestHeaders.of(record)
            identity = asked.identity
            code, response = await self._responder.reply(record, asked, started, begun)
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
        await self._close(progress, record, identity, response)
