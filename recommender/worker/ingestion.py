"""Ratings on their way into the journal, of the partitions that the group gives this worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from faust.types import TP

from recommender.errors import RecommenderError
from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import Ingest, Ingested
from recommender.journal.fingerprint import fingerprint
from recommender.journal.identity import topic_id
from recommender.journal.producer import JournalProducer
from recommender.journal.rule import Followed
from recommender.journal.writer import JournalWriter
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import Finding, Topics
from recommender.messages.records import Record
from recommender.settings import Settings
from recommender.shard.feedback import Feedback
from recommender.worker.commits import Commits
from recommender.worker.counters import Counters
from recommender.worker.events import Event
from recommender.worker.ingesting import Ingestor, SendAll
from recommender.worker.knowledge import Knowledge
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.replicas import HeldReplica
from recommender.worker.source_consumer import SourceConsumer
from recommender.worker.source_progress import SourceProgress
from recommender.worker.transport.faust_app import WorkerApp

logger = logging.getLogger(__name__)


class Ingestion:
    """Ingests ratings: an agent of a Faust app, and what its group's rebalances mean.

    Parameters
    ----------
    app : WorkerApp
    config : Settings
    names : Topics
    found : mapping
        What is known of each topic.
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
        How far behind its topic learning is.
    """

    def __init__(
        self,
        app: WorkerApp,
        config: Settings,
        names: Topics,
        found: Mapping[str, Finding],
        feedback: Feedback,
        knowledge: Knowledge,
        counters: Counters,
        send_all: SendAll,
        recent: RecentRequests,
    ) -> None:
        self._app, self._topic, self._counters = app, names.ratings, counters
        self._topic_id = topic_id(found[names.ratings])
        self._source = SourceConsumer(app, names.ratings)
        self._producer = JournalProducer(names.journal, client_options(config))
        self._writer = JournalWriter(
            self._producer,
            self._source.read_again,
            partitions=knowledge.partitions,
            rules=knowledge.rules,
            renew=self._producer.renew,
            acknowledged=knowledge.following.acknowledged,
            lost=self._source.tell_lost,
        )
        ingested: Event[[int, Ingested, Sequence[Record]]] = Event()
        ingestor = self._ingestor = Ingestor(
            Ingest(names.ratings, BatchDecoder(feedback.low, feedback.high, skips=feedback.skips)),
            self._writer,
            send_all,
            topic_id=self._topic_id,
            decoder=fingerprint(feedback.low, feedback.high, skips=feedback.skips),
            dead_letter_topic=names.dead_letters,
            letter_partitions=found[names.dead_letters].partitions,
            applied=knowledge.applied,
            follow_to_end=knowledge.following.follow_to_end,
            pace=Pace(config.learn_slice / 1000, recent),
            ingested=ingested,
        )
        self.progress = SourceProgress(
            self._source.ends,
            lambda partition: ingestor.learned(partition, knowledge.applied),
            counters.delay.observe,
        )
        ingested.subscribe(counters.ingested)
        ingested.subscribe(lambda partition, _, records: self.progress.sent(partition, records))
        knowledge.followed.subscribe(self._followed)
        self._commits = Commits(self._source.commit)
        self._beginning: set[asyncio.Future[None]] = set()
        self._add_agent()
        self._connect()

    def _add_agent(self) -> None:
        topic: Any = self._app.topic(self._topic, value_type=bytes, value_serializer="raw", acks=False)

        @self._app.agent(topic, name="ingest")
        async def ingest(batches: Any) -> None:
            async for batch in batches:
                self._counters.batches.inc()
                await self._ingestor.take(batch)

    def _followed(self, held: HeldReplica, followed: Followed) -> None:
        self._writer.followed()
        for source, offset in followed.applied.items():
            if source.topic_id == self._topic_id:
                self.progress.applied(source.partition, offset)

    def committable(self) -> dict[int, int]:
        """Up to which offset each partition that this worker reads is in the journal."""
        return self._ingestor.committable()

    async def commit(self) -> None:
        """Commit what is in the journal."""
        await self._commits.advance(self._ingestor.committable())

    async def revoke(self) -> None:
        """Give all partitions away, and commit what is in the journal."""
        await self._commits.advance(await self._ingestor.revoke())

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
            partitions = {tp.partition for tp in assigned if tp.topic == self._topic}
            self._counters.rebalances.labels("ratings").inc()
            self.progress.keep_only(partitions)
            if partitions:
                tell_partitions(self._topic, partitions)
                # In the background: it waits for the journal, and a rebalance waits for nobody.
                task = self._app.add_future(self._begin(partitions))
                self._beginning.add(task)
                task.add_done_callback(self._beginning.discard)

    async def _begin(self, partitions: set[int]) -> None:
        """Begin to ingest partitions that were assigned, from where they are in the journal."""
        spans = await self._source.spans(partitions)
        try:
            starts = await self._ingestor.begin(spans)
        except RecommenderError as error:
            self._app.refuse(error)
            raise
        for partition, offset in starts.items():
            await self._source.read_from(partition, offset)


def tell_partitions(topic: str, partitions: set[int]) -> None:
    """Log which partitions of a topic this worker has."""
    plural = "" if len(partitions) == 1 else "s"
    logger.info("holds %s partition%s %s", topic, plural, ", ".join(map(str, sorted(partitions))) or "none")
