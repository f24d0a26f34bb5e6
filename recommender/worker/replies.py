"""Gets replies to where they were asked for, or says why it cannot.

A request may name a reply topic: one that is allowed, and not one that was closed to us a moment ago.
"""

from __future__ import annotations

import asyncio
import copy
import fnmatch
import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from aiokafka.errors import (
    InvalidTimestampError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from recommender.kafka.refusals import KEYLESS, PartitionMissingError, has_ended, is_closed, passes
from recommender.messages.records import Location, Outgoing, Record, Send
from recommender.messages.request_headers import RequestHeaders, reply_to
from recommender.messages.responses import Failure

logger = logging.getLogger(__name__)

#: Between two attempts to send a record, in seconds.
RETRY_SECONDS = 1.0
#: A topic that could not be written to is not tried again for this long, in seconds: its requests fail at
#: once.
CLOSED_SECONDS = 5.0
#: More such topics than this are forgotten and tried again.
MAX_CLOSED = 1000
#: What Kafka takes for a topic's name, but for two that are all dots.
LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class NoReplyError(Exception):
    """A request cannot have any reply, however often it is tried; the text says why."""


class Target(NamedTuple):
    """The destination of a reply; without a partition its key decides."""

    topic: str
    partition: int | None = None


class Delivery:
    """Sends replies, and requests that another partition has to answer.

    Parameters
    ----------
    send : Send
    requests_topic, responses_topic : str
    reply_topics : iterable of str
        Patterns of the topics that a request may name.
    retry_seconds : float
        After how long a record is sent again that Kafka did not take, because it was away.
    """

    def __init__(
        self,
        send: Send,
        *,
        requests_topic: str,
        responses_topic: str,
        reply_topics: Iterable[str],
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._send = send
        self._requests_topic = requests_topic
        self._responses_topic = responses_topic
        self.reply_topics = ReplyTopics([responses_topic, *reply_topics])
        self._retry_seconds = retry_seconds
        self._waiting_for: set[str] = set()

    async def reply(
        self, record: Record, asked: RequestHeaders, target: Target, value: bytes, failure: Failure | None
    ) -> str:
        """Send a reply, or a failure that says why it cannot be sent; the code of what was sent in the end.

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
                await self._deliver(record, asked, target, value, failure)
                break
            except Exception as error:
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
        self, record: Record, asked: RequestHeaders, target: Target, value: bytes, failure: Failure | None
    ) -> None:
        if target.topic != self._responses_topic:
            self.reply_topics.check(*target)
        reply: Outgoing | None = reply_to(record, asked, value, failure, target.partition)
        while reply is not None:
            try:
                await self._until_taken(target.topic, reply)
                break
            except (*KEYLESS, InvalidTimestampError) as error:
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

    async def _until_taken(self, topic: str, outgoing: Outgoing) -> None:
        """Send a record until Kafka has it.

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
                await (await self._send(topic, outgoing))
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
            await asyncio.sleep(self._retry_seconds)


def _otherwise(reply: Outgoing, error: Exception, record: Record, asked: RequestHeaders) -> Outgoing | None:
    """A reply as the topic may take it after this error; None if there is no other way to write it."""
    if isinstance(error, InvalidTimestampError):
        # Our clock is another than the broker's, which took the request with its own time.
        known = 0 <= record.timestamp != reply.timestamp
        return reply._replace(timestamp=record.timestamp) if known else None
    # A compacted topic takes nothing without a key, and keeps the newest of each.
    return reply._replace(key=asked.identity) if reply.key is None else None


class ReplyTopics:
    """The topics that a reply may go to.

    Parameters
    ----------
    patterns : iterable of str
        Shell patterns of the allowed topics.
    clock : function
        The time in seconds.
    """

    def __init__(self, patterns: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._patterns = list(patterns)
        self._clock = clock
        #: By topic and partition: until when it is left alone, and why.
        self._closed: dict[tuple[str, int | None], tuple[float, Exception]] = {}

    def allowed(self, named: bytes) -> str:
        """The reply topic that a request names.

        Raises
        ------
        Failure
            It is no topic's name, or no pattern of the allow-list matches it.
        """
        topic = named.decode("utf-8", "replace")
        if LEGAL.fullmatch(topic) and any(fnmatch.fnmatchcase(topic, pattern) for pattern in self._patterns):
            return topic
        allowed = ", ".join(self._patterns)
        raise Failure("reply_topic_not_allowed", f"reply topic {topic[:249]!r} is not one of: {allowed}")

    def check(self, topic: str, partition: int | None = None) -> None:
        """Raise the error of a topic, or of a partition of it, if it was closed to us a moment ago.

        Once in a while one caller is let through, to see whether it can be by now.
        """
        for place in {(topic, None), (topic, partition)}:
            until, error = self._closed.get(place, (None, None))
            if until is None or error is None:
                continue
            now = self._clock()
            if now < until:
                raise copy.copy(error)
            self._closed[place] = now + CLOSED_SECONDS, error

    def failed(self, topic: str, error: Exception, partition: int | None = None) -> bool:
        """Note why a reply did not go out; whether that is news."""
        if isinstance(error, PartitionMissingError):
            place = topic, partition
        elif is_closed(error):
            place = topic, None
        else:
            return True
        news = place not in self._closed
        if news and len(self._closed) >= MAX_CLOSED:
            self._closed.clear()
        self._closed.setdefault(place, (self._clock() + CLOSED_SECONDS, error))
        return news

    def found(self, topic: str, partition: int | None = None) -> None:
        """A reply has arrived there."""
        if self._closed:
            self._closed.pop((topic, None), None)
            self._closed.pop((topic, partition), None)


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
