"""Makes the ingestor of each topic whose records become ratings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recommender.ingest.ingest import BatchDecoder, Ingest
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
from recommender.worker.ingestor import Ingestor, Prepare, Reads, SendAll
from recommender.worker.knowledge import Knowledge
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.schema_wait import SchemaWait
from recommender.worker.source_reading import JudgedIngest

#: Told of a run of records of one partition, and what they came to.
Told = Callable[[int, Any, Sequence[Record]], None]


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
    recent : RecentRequests
        Decoding leaves them their time.
    ingested : function
        Of a topic: the function that is called with every run of its records that is on its way into the
        journal.
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
        recent: RecentRequests,
        ingested: Callable[[str], Told],
    ) -> None:
        self._config, self._feedback, self._mappings, self._letters = config, feedback, mappings, letters
        self._writer, self._send_all, self._knowledge = writer, send_all, knowledge
        self._recent, self._ingested = recent, ingested
        self._registry = registry_of(config)
        self._waits: dict[str, SchemaWait] = {}
        self._readers = {topic: reader_of(each, self._registry) for topic, each in mappings.items()}

    def make(self, topic: TopicInfo) -> Ingestor:
        """The ingestor of the ratings topic or of a source."""
        feedback, mapping = self._feedback, self._mappings.get(topic.topic)
        low, high, skips = feedback.low, feedback.high, feedback.skips
        decoder = fingerprint(low, high, skips=skips)
        if mapping is None:
            decoding, partitions = BatchDecoder(low, high, skips=skips), self._knowledge.partitions
            ingest = Ingest(topic.topic, decoding, partitions=partitions)
            return self._ingestor(topic, ingest, decoder)
        reader, prepare = self._readers[mapping.topic], None
        if reader is not None and self._registry is not None:
            prepare = self._waits[topic.topic] = SchemaWait(mapping.name, reader, self._registry)
        source = SourceIngest(mapping, low, high, skips=skips, reader=reader)
        judged = JudgedIngest(source, self._config.max_rejected)
        return self._ingestor(topic, judged, of_source(decoder, mapping.fingerprint), prepare)

    def waits_for(self, topic: str) -> str | None:
        """The reason why the records of a topic wait, if they do."""
        wait = self._waits.get(topic)
        return None if wait is None else wait.waits_for

    def _ingestor(
        self, topic: TopicInfo, ingest: Reads, decoder: int, prepare: Prepare | None = None
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
            ingested=self._ingested(topic.topic),
            keep_up=self._knowledge.following.keep_up,
            prepare=prepare,
            mapped=self._knowledge.mapped,
        )
