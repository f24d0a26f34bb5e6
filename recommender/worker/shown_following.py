"""Follows the topics that say what users were shown: the recommendations log, or impressions."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from recommender.ingest.sources.decoder import SourceDecoder
from recommender.ingest.sources.documents import PlainReader
from recommender.ingest.sources.impressions_file import SHOWN
from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.outcomes import Skip
from recommender.items.shown import MAX_PLACES, ShownList, ShownStore
from recommender.kafka.topics import TopicInfo
from recommender.messages import recommendations_log
from recommender.worker.not_again import HOUR
from recommender.worker.topic_following import TopicFollowing


class ShownFollowing(TopicFollowing):
    """Keeps a store of what was shown in the last hours, by one topic.

    Parameters
    ----------
    store : ShownStore
    hours : float
    topic, options, identify, counted
        As `TopicFollowing` has them.
    """

    def __init__(
        self,
        store: ShownStore,
        hours: float,
        topic: str,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__(topic, options, identify, counted)
        self._store, self._hours = store, hours

    async def begins(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The place from which what was shown counts; not further back than there is room."""
        since = int((time.time() - self._hours * HOUR) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
        ends = await consumer.end_offsets(list(partitions))
        most = MAX_PLACES // len(partitions)
        return {
            tp: max(ends[tp] if (at := found[tp]) is None else at.offset, ends[tp] - most)
            for tp in partitions
        }

    def size(self) -> str:
        """The number of places and users, in words."""
        return f"{len(self._store)} places of lists of {self._store.users} users"


class LogFollowing(ShownFollowing):
    """Keeps the store as the recommendations log says."""

    def take(self, records: Sequence[Any]) -> int:
        """Take over lists, all at once."""
        lists: list[ShownList] = []

        def take(record: Any) -> None:
            entry = recommendations_log.decode(record.value)
            items = [each.item for each in entry.items]
            lists.append(ShownList(entry.user, entry.request, entry.timestamp, items))

        taken = self.take_each(records, take)
        self._store.put(lists)
        return taken


class ImpressionsFollowing(ShownFollowing):
    """Keeps the store as a source of impressions says.

    Parameters
    ----------
    mapping : SourceMapping
        Of ratings, of which only user, item and time mean something.
    store, hours, options, identify, counted
        As `ShownFollowing` has them.
    """

    def __init__(
        self,
        mapping: SourceMapping,
        store: ShownStore,
        hours: float,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__(store, hours, mapping.topic, options, identify, counted)
        self._decoder = SourceDecoder(mapping, PlainReader(mapping.format), SHOWN, SHOWN)

    def take(self, records: Sequence[Any]) -> int:
        """Take over what was shown, all at once, but for records that say nothing."""
        lists: list[ShownList] = []
        skipped = 0

        def take(record: Any) -> None:
            nonlocal skipped
            try:
                lists.extend(self._lists(record))
            except Skip:
                skipped += 1

        taken = self.take_each(records, take) - skipped
        self._store.put(lists)
        self._counted("skipped", skipped)
        return taken

    def _lists(self, record: Any) -> list[ShownList]:
        """The lists of a record, one for each user that it names; none counts as of later than now."""
        rows = self._decoder.decode(record)
        # Read again, as after Kafka was away, a record is the same list.
        name = f"{self.topic}/{record.partition}/{record.offset}"
        now = time.time()
        found: dict[str, ShownList] = {}
        for row in rows:
            moment = record.timestamp / 1000 if math.isnan(row.time) else row.time
            found.setdefault(row.user, ShownList(row.user, name, min(moment, now), [])).items.append(row.item)
        return list(found.values())


class Shown:
    """All topics that say what was shown: the log or sources of impressions, never both.

    Parameters
    ----------
    store : ShownStore
    log : LogFollowing or None
    impressions : mapping of str to ImpressionsFollowing
        By the names of their tables.

    Attributes
    ----------
    followings : list of ShownFollowing
    """

    def __init__(
        self,
        store: ShownStore,
        log: LogFollowing | None = None,
        impressions: Mapping[str, ImpressionsFollowing] | None = None,
    ) -> None:
        self._store, self._log, self._impressions = store, log, dict(impressions or {})
        self.followings: list[ShownFollowing] = [*self._impressions.values(), *([log] if log else [])]

    def status(self) -> dict[str, Any] | None:
        """The part of the status page about it; None if nothing is followed."""
        if not self.followings:
            return None
        own = {} if self._log is None else self._log.status()
        sources = {name: each.status() for name, each in self._impressions.items()}
        return {**own, "sources": sources, "places": len(self._store), "users": self._store.users}
