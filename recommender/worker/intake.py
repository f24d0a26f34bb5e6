"""The topics whose records become ratings: the ratings topic and the sources, each with an ingestor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping

from faust.types import TP

from recommender.journal.block import Source
from recommender.journal.errors import SourceShorter
from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import TopicInfo, TopicsError
from recommender.worker.ingestor import Ingestor
from recommender.worker.topic_watch import TopicWatch
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
#: Makes the ingestor of a topic that exists.
Make = Callable[[TopicInfo], Ingestor]
#: The topic of a name as it is now; a `TopicsError` if there is none.
Identify = Callable[[str], TopicInfo]
#: Where partitions of which nothing was read yet begin, where that is not at the beginning.
Firsts = Callable[[Mapping[TP, Span]], Awaitable[Mapping[TP, int]]]


class Intake:
    """Ingests several topics.

    Parameters
    ----------
    topics : iterable of str
    make : Make
    identify : Identify
        Called in a thread.
    firsts : Firsts
    *watched : TopicWatch
        Of topics that something else checks, too.
    retry_seconds : float
        Between two attempts to find a topic that is there.

    Attributes
    ----------
    watches : dict of str to TopicWatch
        Of the topics that exist.
    """

    def __init__(
        self,
        topics: Iterable[str],
        make: Make,
        identify: Identify,
        firsts: Firsts,
        *watched: TopicWatch,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.topics = tuple(topics)
        self.watches = {each.topic: each for each in watched}
        self._make, self._identify, self._firsts = make, identify, firsts
        self._retry_seconds = retry_seconds
        self._ingestors: dict[str, Ingestor] = {}
        self._names: dict[bytes, str] = {}

    def open(self, found: TopicInfo) -> None:
        """Take note of a topic that exists."""
        if found.topic in self._ingestors:
            return
        ingestor = self._ingestors[found.topic] = self._make(found)
        self._names[ingestor.source(0).topic_id] = found.topic
        self.watches.setdefault(found.topic, TopicWatch(found, lambda: self._identify(found.topic)))

    def ingestor(self, topic: str) -> Ingestor:
        """The ingestor of a topic that exists."""
        return self._ingestors[topic]

    def get(self, topic: str) -> Ingestor | None:
        """The ingestor of a topic; None if that does not exist yet."""
        return self._ingestors.get(topic)

    @property
    def missing(self) -> list[str]:
        """The topics that do not exist yet."""
        return [each for each in self.topics if each not in self._ingestors]

    def log_missing(self) -> None:
        """Say which topics do not exist yet; to be called once."""
        for topic in self.missing:
            logger.warning("topic %r does not exist yet; it is read once it is there", topic)

    async def check(self) -> None:
        """Look once whether the topics are what they were, and whether those that were missing are there.

        Raises
        ------
        TopicsError
            One was deleted and created again.
        """
        for watch in list(self.watches.values()):
            await watch.check()
        for topic in self.missing:
            await self._find(topic)

    async def _find(self, topic: str) -> None:
        try:
            found = await asyncio.to_thread(self._identify, topic)
        except (TopicsError, BrokerUnreachableError):
            return
        if topic in self.missing:
            logger.info("topic %r is there now", topic)
            self.open(found)

    def place(self, source: Source) -> TP:
        """The topic and partition of a source."""
        return TP(self._names[source.topic_id], source.partition)

    def topic_of(self, source: Source) -> str | None:
        """The topic of a source; None where it is none of these."""
        return self._names.get(source.topic_id)

    def sources(self) -> dict[str, bytes]:
        """Kafka's id of each topic that exists."""
        return {topic: topic_id for topic_id, topic in self._names.items()}

    async def begin(self, spans: Mapping[TP, Span]) -> dict[TP, int]:
        """Own partitions from now on; from which offset each is to be read.

        Raises
        ------
        SourceShorter
            A partition ends before the place up to which it is in the journal.
        TopicsError
            The same, since its topic was deleted and created again.
        """
        for topic in {tp.topic for tp in spans} & set(self.missing):
            await self._find(topic)
            while topic in self.missing:  # it is there: its partitions were assigned
                await asyncio.sleep(self._retry_seconds)
                await self._find(topic)
        starts: dict[TP, int] = {}
        firsts = await self._firsts(spans)
        for topic, ingestor in list(self._ingestors.items()):
            theirs = {tp.partition: span for tp, span in spans.items() if tp.topic == topic}
            if theirs:
                first = {tp.partition: offset for tp, offset in firsts.items() if tp.topic == topic}
                try:
                    begun = await ingestor.begin(theirs, first)
                except SourceShorter:
                    await self.watches[topic].check()  # which may know better why
                    raise
                starts |= {TP(topic, partition): offset for partition, offset in begun.items()}
        return starts

    async def revoke(self) -> dict[TP, int]:
        """Give all partitions away; what may be committed of each."""
        found: dict[TP, int] = {}
        for topic, ingestor in self._ingestors.items():
            found |= {TP(topic, partition): offset for partition, offset in (await ingestor.revoke()).items()}
        return found

    def committable(self) -> dict[TP, int]:
        """The offset up to which each partition is in the journal."""
        return {
            TP(topic, partition): offset
            for topic, ingestor in self._ingestors.items()
            for partition, offset in ingestor.committable().items()
        }
