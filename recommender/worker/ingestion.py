"""Ratings on their way into the journal, of the partitions that the group gives this worker."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from faust.types import TP

from recommender.errors import RecommenderError
from recommender.ingest.sources.mapping import SourceMapping
from recommender.journal.block import Source
from recommender.journal.outbox import JournalProducer
from recommender.journal.outcome import Followed
from recommender.journal.writer import JournalWriter
from recommender.kafka import topics
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import TopicInfo, Topics
from recommender.messages.records import Record
from recommender.settings import Settings
from recommender.shard.feedback import Feedback
from recommender.worker.commits import Commits
from recommender.worker.counters import Counters
from recommender.worker.ingestor import SendAll
from recommender.worker.ingestors import Ingestors, Told
from recommender.worker.intake import Intake
from recommender.worker.knowledge import Knowledge
from recommender.worker.pacing import RecentRequests
from recommender.worker.replicas import HeldReplica
from recommender.worker.source_consumer import SourceConsumer
from recommender.worker.source_progress import SourceProgress, SourceTopic
from recommender.worker.transport.faust_app import WorkerApp
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)


class Ingestion:
    """Ingests the ratings topic and the sources: agents of a Faust app, and what its group's rebalances mean.

    Parameters
    ----------
    app : WorkerApp
    config : Settings
    names : Topics
    found : mapping
        What is known of each topic.
    mappings : mapping
        The sources by their topics.
    feedback : Feedback
        The scale of the ratings.
    knowledge : Knowledge
    counters : Counters
    send_all : SendAll
        For dead letters.
    recent : RecentRequests
        Decoding leaves them their time.

    Attributes
    ----------
    progress : SourceProgress
        How far behind the ratings topic learning is.
    """

    def __init__(
        self,
        app: WorkerApp,
        config: Settings,
        *,
        names: Topics,
        found: Mapping[str, TopicInfo],
        mappings: Mapping[str, SourceMapping],
        feedback: Feedback,
        knowledge: Knowledge,
        counters: Counters,
        send_all: SendAll,
        recent: RecentRequests,
    ) -> None:
        self._app, self._topic, self._mappings = app, names.ratings, mappings
        self._knowledge, self._counters = knowledge, counters
        source = self._source = SourceConsumer(app)
        self._producer = JournalProducer(names.journal, client_options(config))
        self._writer = JournalWriter(
            self._producer,
            self._read_again,
            partitions=knowledge.partitions,
            rules=knowledge.rules,
            renew=self._producer.renew,
            acknowledged=knowledge.following.acknowledged,
            lost=self._log_lost,
        )
        self._progresses = {
            topic: SourceProgress(
                functools.partial(source.ends, topic),
                functools.partial(self._learned, topic),
                counters.delay.observe,
            )
            for topic in (names.ratings, *mappings)
        }
        self.progress = self._progresses[names.ratings]
        common = found[names.dead_letters], self._writer, send_all, knowledge, recent
        ingestors = self._ingestors = Ingestors(config, feedback, mappings, *common, self._counting)
        intake = self._intake = Intake(
            self._progresses,
            ingestors.make,
            lambda topic: topics.identify(config.broker, topic, 0.0, security_options(config)),
            self._firsts,
            knowledge.ratings,
        )
        for topic in intake.topics:
            if topic in found:
                intake.open(found[topic])
        intake.log_missing()
        for topic, mapping in mappings.items():
            counters.source_counts.waits[mapping.name] = functools.partial(self._waits_for, topic)
        knowledge.followed.subscribe(self._followed)
        self._commits = Commits(self._source.commit)
        self._beginning: set[asyncio.Future[None]] = set()
        self._add_agents()
        self._connect()

    def _add_agents(self) -> None:
        # One for each, since a source that waits must not hold up another.
        for number, name in enumerate(self._intake.topics):
            topic: Any = self._app.topic(name, value_type=bytes, value_serializer="raw", acks=False)

            @self._app.agent(topic, name=f"ingest-{number}" if number else "ingest")
            async def ingest(batches: Any) -> None:
                async for batch in batches:
                    self._counters.batches.inc()
                    ingestor = self._intake.get(batch.topic)
                    if ingestor is not None:
                        await ingestor.take(batch)

    def _counting(self, topic: str) -> Told:
        """The function that is called with every run of a topic's records on its way into the journal."""
        mapping, progress = self._mappings.get(topic), self._progresses[topic]
        count = self._counters.ingested if mapping is None else self._counters.ingested_of(mapping.name)

        def told(partition: int, ingested: Any, records: Sequence[Record]) -> None:
            count(partition, ingested, records)
            progress.sent(partition, records)

        return told

    def _learned(self, topic: str, partition: int) -> int | None:
        """The offset up to which a partition is learned; None if it is not read here."""
        if topic in self._intake.missing:
            return None
        return self._intake.ingestor(topic).learned(partition, self._knowledge.applied)

    def _waits_for(self, topic: str) -> str | None:
        """The reason why nothing of a topic can be read now."""
        if topic in self._intake.missing:
            return f"topic {topic!r} does not exist yet"
        return self._ingestors.waits_for(topic)

    def topics(self) -> list[SourceTopic]:
        """The topics that are ingested, and how far each is."""
        ids, reads = self._intake.sources(), self._intake.committable()
        return [
            SourceTopic(
                self._mappings[topic].name if topic in self._mappings else topic,
                topic,
                ids.get(topic),
                progress,
                {tp.partition for tp in reads if tp.topic == topic},
                self._waits_for(topic),
            )
            for topic, progress in self._progresses.items()
        ]

    def sources(self) -> list[SourceTopic]:
        """The topics among them that have a table."""
        return [each for each in self.topics() if each.topic in self._mappings]

    def _followed(self, held: HeldReplica, followed: Followed) -> None:
        self._writer.followed()
        for source, offset in followed.applied.items():
            topic = self._intake.topic_of(source)
            if topic is not None:
                self._progresses[topic].applied(source.partition, offset)

    async def _read_again(self, source: Source, offset: int) -> None:
        await self._source.read_from(self._intake.place(source), offset)

    async def _log_lost(self, source: Source, first: int, end: int) -> None:
        await self._source.log_lost(self._intake.place(source), first, end)

    async def _firsts(self, spans: Mapping[TP, Span]) -> dict[TP, int]:
        """The first offsets of partitions of which nothing was read yet, where the source says so."""
        firsts: dict[TP, int] = {}
        ids = self._intake.sources()
        for tp, span in spans.items():
            start = self._mappings[tp.topic].start if tp.topic in self._mappings else "earliest"
            if start == "earliest" or span.committed is not None or tp.topic not in ids:
                continue
            if self._knowledge.applied(Source(ids[tp.topic], tp.partition)):
                continue
            offset = None if start == "latest" else await self._source.offset_at(tp, float(start))
            firsts[tp] = span.ends if offset is None else offset
        return firsts

    def committable(self) -> dict[int, int]:
        """The offset up to which each partition of the ratings that this worker reads is in the journal."""
        return self._intake.ingestor(self._topic).committable()

    async def check(self) -> None:
        """Look once whether the topics are what they were, and whether those that were missing are there."""
        await self._intake.check()

    async def commit(self) -> None:
        """Commit what is in the journal."""
        await self._commits.advance(self._intake.committable())

    async def revoke(self) -> None:
        """Give all partitions away, and commit what is in the journal."""
        await self._commits.advance(await self._intake.revoke())

    async def close(self) -> None:
        """Disconnect from the journal."""
        await self._producer.close()

    def _connect(self) -> None:
        signals: Any = self._app  # their types allow no handler with named arguments

        @signals.on_partitions_revoked.connect
        async def revoked(sender: Any, revoked: set[TP], **kwargs: Any) -> None:
            for task in self._beginning:
                task.cancel()
            await self.revoke()
            await self._commits.stop()

        @signals.on_partitions_assigned.connect
        async def assigned(sender: Any, assigned: set[TP], **kwargs: Any) -> None:
            self._commits.resume()
            ours = {tp for tp in assigned if tp.topic in self._intake.topics}
            self._counters.rebalances.labels("ratings").inc()
            for topic, progress in self._progresses.items():
                progress.keep_only({tp.partition for tp in ours if tp.topic == topic})
            for topic in sorted({tp.topic for tp in ours}):
                log_partitions(topic, {tp.partition for tp in ours if tp.topic == topic})
            if ours:
                # In the background: it waits for the journal, and a rebalance must not wait.
                task = self._app.add_future(self._begin(ours))
                self._beginning.add(task)
                task.add_done_callback(self._beginning.discard)

    async def _begin(self, tps: set[TP]) -> None:
        """Begin to ingest partitions that were assigned, from where they are in the journal."""
        spans = await self._source.spans(tps)
        try:
            starts = await self._intake.begin(spans)
        except RecommenderError as error:
            self._app.refuse(error)
            raise
        for tp, offset in starts.items():
            await self._source.read_from(tp, offset)


def log_partitions(topic: str, partitions: set[int]) -> None:
    """Log which partitions of a topic this worker has."""
    plural = "" if len(partitions) == 1 else "s"
    logger.info("holds %s partition%s %s", topic, plural, ", ".join(map(str, sorted(partitions))) or "none")
