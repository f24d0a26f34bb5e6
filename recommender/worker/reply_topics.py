"""The reply topics that requests name: which are allowed, and which were not there when last tried."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterable

from aiokafka.errors import UnknownTopicOrPartitionError

from recommender.messages.responses import Failure

#: A topic that did not exist is not asked for again for so long, in seconds: its requests fail at once.
MISSING_SECONDS = 5.0
#: More missing topics than this are forgotten and tried again.
MAX_MISSING = 1000


class ReplyTopics:
    """Which topics a reply may go to.

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
        self._missing: dict[str, float] = {}

    def allowed(self, named: bytes) -> str:
        """The reply topic that a request names.

        Raises
        ------
        Failure
            No pattern of the allow-list matches it.
        """
        topic = named.decode("utf-8", "replace")
        if any(fnmatch.fnmatchcase(topic, pattern) for pattern in self._patterns):
            return topic
        allowed = ", ".join(self._patterns)
        raise Failure("reply_topic_not_allowed", f"reply topic {topic[:249]!r} is not one of: {allowed}")

    def check(self, topic: str) -> None:
        """Raise `UnknownTopicOrPartitionError` if the topic was not there a moment ago.

        Once in a while one caller is let through, to see whether it is there by now.
        """
        until = self._missing.get(topic)
        if until is None:
            return
        now = self._clock()
        if now < until:
            raise UnknownTopicOrPartitionError
        self._missing[topic] = now + MISSING_SECONDS

    def failed(self, topic: str, error: Exception) -> bool:
        """Note why a reply did not go out; whether that is news."""
        if not isinstance(error, UnknownTopicOrPartitionError):
            return True
        news = topic not in self._missing
        if news and len(self._missing) >= MAX_MISSING:
            self._missing.clear()
        self._missing.setdefault(topic, self._clock() + MISSING_SECONDS)
        return news

    def found(self, topic: str) -> None:
        """A reply has arrived there."""
        self._missing.pop(topic, None)


def reason(error: Exception) -> str:
    """Why a reply did not go out, in words. Kafka's errors mostly name themselves."""
    if isinstance(error, UnknownTopicOrPartitionError):
        return "there is no such topic"
    name, text = type(error).__name__, str(error)
    if name in text:
        return text
    return f"{name}: {text}" if text else name
