"""Gets replies to where they were asked for, or says why it cannot.

A request may name a reply topic: one that is allowed, and not one that was closed to us a moment ago.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka.errors import (
    InvalidTimestampError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from recommender.kafka.refusals import KEYLESS, PartitionMissingError, has_ended, is_closed, passes
from recommender.messages.records import Location, Outgoing, Record, Send
from recommender.messages.request_headers import RequestHeaders, reply_to
from recommender.messages.responses import Failure
from recommender.worker.reply_topics import ReplyTopics, Target

logger = logging.getLogger(__name__)

#: Between two attempts to send a record, in seconds.
RETRY_SECONDS = 1.0


class NoReplyError(Exception):
    """A request cannot have any reply, however often it is tried; the text says why."""


class Delivery:
    """Sends replies, and requests that another partition has to answer.

    Parameters
    ----------
    send : Send
    requests_topic, responses_topic : str
    reply_topics : ReplyTopics
    retry_seconds : float
        After how long a record is sent again that Kafka did not take, because it was away.
    """

    def __init__(
        self,
        send: Send,
        *,
        requests_topic: str,
        responses_topic: str,
        reply_topics: ReplyTopics,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._send = send
        self._requests_topic = requests_topic
        self._responses_topic = responses_topic
        self.reply_topics = reply_topics
        self._retry_seconds = retry_seconds
        self._waiting_for: set[str] = set()

    async def reply(
        self,
        record: Record,
        asked: RequestHeaders,
        target: Target,
        value: bytes,
        failure: Failure | None,
        sent: asyncio.Future[Any] | None = None,
    ) -> str:
        """Send a reply, or a failure that says why it cannot be sent; the code of what was sent in the end.

        Parameters
        ----------
        record : Record
        asked : RequestHeaders
        target : Target
        value : bytes
        failure : Failure or None
            What `value` says; None: a list.
        sent : asyncio.Future, optional
            The first attempt.

        Raises
        ------
        NoReplyError
            Not even a failure is taken anywhere.
        Exception
            Nothing can be sent any more, as the worker ends.
        """
        code = "ok" if failure is None else failure.code
        missed: list[tuple[str, str]] = []
        while True:
            try:
                await self._deliver(record, asked, target, value, failure, sent)
                break
            except Exception as error:
                sent = None
                if has_ended(error):
                    raise
                if self.reply_topics.failed(target.topic, error, target.partition):
                    missed.append((target.topic, reason(error)))
                instead = self._instead(target, error, code)
                if instead is None:
                    raise NoReplyError(reason(error)) from error
                target, failure = instead
            value, code = failure.encode(), failure.code
        for topic, why in missed:
            logger.warning("%s: no reply to %s: %s", Location.of(record), topic, why)
        return code

    def _instead(self, target: Target, error: Exception, code: str) -> tuple[Target, Failure] | None:
        """The failure to send, and where, after a reply of this code failed; None if all was tried."""
        topic, why = target.topic, reason(error)
        if isinstance(error, PartitionMissingError):
            text = f"cannot reply to the partition that is asked for: {why}"
            return Target(topic), Failure("reply_topic_unavailable", text)
        if code == "ok" and not is_closed(error):
            # A failure is shorter than a list.
            return target, Failure("reply_not_accepted", f"Kafka rejected the reply: {why}")
        if topic != self._responses_topic:
            text = f"cannot reply to topic {topic!r}: {why}"
            return Target(self._responses_topic), Failure("reply_topic_unavailable", text)
        return None

    async def _deliver(
        self,
        record: Record,
        asked: RequestHeaders,
        target: Target,
        value: bytes,
        failure: Failure | None,
        sent: asyncio.Future[Any] | None,
    ) -> None:
        if sent is None and target.topic != self._responses_topic:
            self.reply_topics.check(*target)
        reply: Outgoing | None = reply_to(record, asked, value, failure, target.partition)
        while reply is not None:
            try:
                await self._until_taken(target.topic, reply, sent)
                break
            except (*KEYLESS, InvalidTimestampError) as error:
                sent = None
                reply = _otherwise(reply, error, record, asked)
                if reply is None:
                    raise
        self.reply_topics.found(*target)

    async def request(self, outgoing: Outgoing) -> None:
        """Send a request on.

        Raises
        ------
        Exception
            It failed in a way that does not pass.
        """
        await self._until_taken(self._requests_topic, outgoing)

    async def _until_taken(
        self, topic: str, outgoing: Outgoing, sent: asyncio.Future[Any] | None = None
    ) -> None:
        """Send a record until Kafka has it; it may have been sent once.

        A topic of ours that is gone or forbidden is waited for, like Kafka itself: that is no fault of the
        record, and somebody has to fix it.

        Raises
        ------
        Exception
            It failed in a way that does not pass, or the topic is not ours and is gone or forbidden.
        """
        ours = topic in (self._responses_topic, self._requests_topic)
        while True:
            try:
                await (await self._send(topic, outgoing) if sent is None else sent)
            except Exception as error:
                if not passes(error) or (is_closed(error) and not ours):
                    raise
                if is_closed(error) and topic not in self._waiting_for:
                    self._waiting_for.add(topic)
                    logger.error("%s cannot be written: %s; what is for it waits", topic, reason(error))
            else:
                if topic in self._waiting_for:
                    self._waiting_for.discard(topic)
                    logger.warning("%s can be written again", topic)
                return
            sent = None
            await asyncio.sleep(self._retry_seconds)


def _otherwise(reply: Outgoing, error: Exception, record: Record, asked: RequestHeaders) -> Outgoing | None:
    """A reply as the topic may take it after this error; None if there is no other way to write it."""
    if isinstance(error, InvalidTimestampError):
        # Our clock is another than the broker's, which took the request with its own time.
        known = 0 <= record.timestamp != reply.timestamp
        return reply._replace(timestamp=record.timestamp) if known else None
    # A compacted topic takes nothing without a key, and keeps the newest of each.
    return reply._replace(key=asked.identity) if reply.key is None else None


def reason(error: Exception) -> str:
    """The reason why a reply did not go out, in words. Kafka's errors mostly name themselves."""
    if isinstance(error, UnknownTopicOrPartitionError):
        return "there is no such topic"
    if isinstance(error, TopicAuthorizationFailedError):
        return "writing to it is not allowed"
    name, text = type(error).__name__, str(error)
    if isinstance(error, PartitionMissingError):
        return text.removeprefix(f"{name}: ")
    if name in text:
        return text
    return f"{name}: {text}" if text else name
