"""The topics that replies may go to: those that are allowed, but for what was closed to us a moment ago."""

from __future__ import annotations

import copy
import fnmatch
import re
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from recommender.kafka.refusals import PartitionMissingError, is_closed
from recommender.messages.responses import Failure

#: A topic that could not be written to is not tried again for this long, in seconds: its requests fail at
#: once.
CLOSED_SECONDS = 5.0
#: More such topics than this are forgotten and tried again, and more that are allowed are looked at again.
MAX_CLOSED = 1000
#: What Kafka takes for a topic's name, but for two that are all dots.
LEGAL = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class Target(NamedTuple):
    """The destination of a reply; without a partition its key decides."""

    topic: str
    partition: int | None = None


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
        #: Topics that were allowed, by how requests named them.
        self._known: dict[bytes, str] = {}

    def has_failed(self, topic: str, partition: int | None) -> bool:
        """Return True if a topic, or a partition of it, was closed to us when it was last tried."""
        return bool(self._closed) and not self._closed.keys().isdisjoint({(topic, None), (topic, partition)})

    def allowed(self, named: bytes) -> str:
        """The reply topic that a request names.

        Raises
        ------
        Failure
            It is no topic's name, or no pattern of the allow-list matches it.
        """
        known = self._known.get(named)
        if known is not None:
            return known
        topic = named.decode("utf-8", "replace")
        if LEGAL.fullmatch(topic) and any(fnmatch.fnmatchcase(topic, pattern) for pattern in self._patterns):
            if len(self._known) >= MAX_CLOSED:
                self._known.clear()
            self._known[named] = topic
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
