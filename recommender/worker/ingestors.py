"""Makes the ingestor of each topic whose records become ratings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import Ingest, Ingested
from recommender.ingest.sources.configured import reader_of, registry_of
from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.source_ingest import SourceIngest
from recommender.journal.fingerprint import fingerprint, of_source
from recommender.journal.identity import topic_id
from recommender.journal.writer import JournalWriter
from recommender.kafka.topics import TopicInfo
from recommender.messages.records import Record
from recommender.settings import Settings
from recommender.shard.feedback import Feedback
from recommender.worker.counters import Counters
from recommender.worker.ingesting import Ingestor, Reads, SendAll
from recommender.worker.intake import Prepare
from recommender.worker.knowledge import Knowledge
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.schema_wait import SchemaWait
from recommender.worker.source_reading import JudgedIngest


class Ingestors:
    """The things that the ingestors of all topics share.

    Parameters
    ----------
    config : Settings
    feedback : Feedback
        The scale of the ratings.
    mappings : mapping
        The sources by their topics.
    letters : TopicInfo
        The topic of the dead letters.
    writer : JournalWriter
    send_all : SendAll
        For dead letters.
    knowledge : Knowledge
    counters : Counters
    recent : RecentRequests
        Decoding leaves them their time.
    ingested : function
        Called with every run of records of the ratings topic that is on its way into the journal.
    """

    def __init__(
        self,
        config: Settings,
        feedback: Feedback,
        mappings: Mapping[str, SourceMapping],
        letters: TopicInfo,
        writer: JournalWriter,
        send_all: SendAll,
        knowledge: Knowledge,
        counters: Counters,
        recent: RecentRequests,
        ingested: Callable[[int, Ingested, Sequence[Record]], None],
    ) -> None:
        self._config, self._feedback, self._mappings, self._letters = config, feedback, mappings, letters
        self._writer, self._send_all, self._knowledge = writer, send_all, knowledge
        self._counters, self._recent, self._ingested = counters, recent, ingested
        self._registry = registry_of(config)
        self._readers = {topic: reader_of(each, self._registry) for topic, each in mappings.items()}

    def make(self, topic: TopicInfo) -> tuple[Ingestor, Prepare | None]:
        """The ingestor of the ratings topic or of a source, and what a source's records wait for."""
        feedback, mapping = self._feedback, self._mappings.get(topic.topic)
        low, high, skips = feedback.low, feedback.high, feedback.skips
        decoder = fingerprint(low, high, skips=skips)
        if mapping is None:
            ingest = Ingest(topic.topic, BatchDecoder(low, high, skips=skips))
            return self._ingestor(topic, ingest, decoder, self._ingested), None
        reader, prepare = self._readers[mapping.topic], None
        if reader is not None and self._registry is not None:
            prepare = wait = SchemaWait(mapping.name, reader, self._registry)
            self._counters.source_counts.waits[mapping.name] = lambda: wait.waits_for
        source = SourceIngest(mapping, low, high, skips=skips, reader=reader)
        judged = JudgedIngest(source, self._config.max_rejected)
        counted = self._counters.ingested_of(mapping.name)
        return self._ingestor(topic, judged, of_source(decoder, mapping.fingerprint), counted), prepare

    def _ingestor(
        self,
        topic: TopicInfo,
        ingest: Reads,
        decoder: int,
        ingested: Callable[[int, Any, Sequence[Record]], None],
    ) -> Ingestor:
        return Ingestor(
            ingest,
            self._writer,
            self._send_all,
            topic_id=topic_id(topic),
            decoder=decoder,
            dead_letter_topic=self._letters.topic,
            letter_partitions=self._letters.partitions,
            applied=self._knowledge.applied,
            follow_to_end=self._knowledge.following.follow_to_end,
            pace=Pace(self._config.learn_slice / 1000, self._recent),
            ingested=ingested,
            mapped=self._knowledge.mapped,
        )
