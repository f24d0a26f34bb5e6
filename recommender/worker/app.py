"""The Faust app: topics, the ingest agent, the services beside it, and pages. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Mapping
from typing import Any

import aiokafka.codec
import kafka.codec
from aiokafka.errors import KafkaError
from faust.types import TP

from recommender import settings
from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.errors import RecommenderError
from recommender.experiments.log_writer import LogWriter
from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.dead_letters import LesserLetters
from recommender.ingest.ingest import Ingest, unread_letter
from recommender.journal.block import Source
from recommender.journal.fingerprint import fingerprint
from recommender.journal.identity import topic_id
from recommender.journal.producer import JournalProducer
from recommender.journal.rule import Followed
from recommender.journal.rules import rule_of
from recommender.journal.writer import JournalWriter
from recommender.kafka import access, codecs, topics
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import Finding, Topics
from recommender.models import registry
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings, logs_recommendations
from recommender.web.pages import add_pages
from recommender.worker import process
from recommender.worker.adoption import Adoption
from recommender.worker.answering import Answerer
from recommender.worker.answers import Answers
from recommender.worker.broker_watch import BrokerWatch
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.commits import Commits
from recommender.worker.following import Following
from recommender.worker.health import Health
from recommender.worker.ingesting import Ingestor
from recommender.worker.learning import Learner
from recommender.worker.metrics import Metrics
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.request_consumer import RequestConsumer
from recommender.worker.source_progress import SourceProgress
from recommender.worker.topic_watch import TopicWatch
from recommender.worker.transport import faust_transport
from recommender.worker.transport.faust_app import WorkerApp
from recommender.worker.transport.faust_options import faust_options
from recommender.worker.transport.producer import bulk_sender, sender
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

#: How often what is durable is committed, in seconds.
COMMIT_INTERVAL = 1.0
BROKER_LOOK_INTERVAL = 2.0
TOPIC_LOOK_INTERVAL = 10.0
#: How often a new hand-over is looked for.
HANDOVER_LOOK_INTERVAL = 5.0
#: How often it is looked whether dead letters are to be told of.
LETTER_LOOK_INTERVAL = 5.0
#: How long what is under way may take when partitions are about to move or the worker stops, in seconds.
HAND_OVER_SECONDS = 2.0
#: Between two attempts to find out where to begin, while the broker is away, in seconds.
RETRY_SECONDS = 0.5


def create_app(
    config: Settings, *, rebuild: bool = False, allow_gap: bool = False, **faust_settings: Any
) -> WorkerApp:
    """Make the worker's Faust app.

    Parameters
    ----------
    config : Settings
    rebuild : bool
        Set checkpoints that do not match aside and learn again from the journal.
    allow_gap : bool
        Go on where the journal has lost blocks.
    **faust_settings
        Passed on to Faust.

    Raises
    ------
    RecommenderError
        No broker answers, the topics are not as they must be, a setting names what does not exist, or a codec
        is missing.
    """
    codecs.require(aiokafka.codec, codecs.OF_AIOKAFKA)
    codecs.require(kafka.codec, codecs.OF_KAFKA_PYTHON)
    options = ShardOptions.of(config)
    for model in options.arms.names:
        registry.check(model)
    names = Topics(config.topic_prefix)
    logs = logs_recommendations(config)
    found = {each.topic: each for each in _inspect(config, names, logs=logs)}
    app = WorkerApp(config.group, **{**faust_options(config), **faust_settings})
    faust_transport.set_transport(app, config.broker, names.ratings)
    worker = _Parts(app, config, names, options, found, rebuild=rebuild, allow_gap=allow_gap)
    worker.wire(logs=logs)
    return app


def _inspect(config: Settings, names: Topics, *, logs: bool) -> list[Finding]:
    unused = () if logs else (names.recommendations,)
    given = config.broker, names, config.broker_wait, security_options(config)
    found = topics.check(*given, unused=unused, tell=logger.warning)
    access.require(found, access.needed(names, logs=logs), config.broker)
    for each in found:
        for warning in each.warnings:
            logger.warning("%s: %s", each.topic, warning)
    return found


class _Parts:
    """The parts of a worker, made from the bottom up."""

    def __init__(
        self,
        app: WorkerApp,
        config: Settings,
        names: Topics,
        options: ShardOptions,
        found: Mapping[str, Finding],
        *,
        rebuild: bool,
        allow_gap: bool,
    ) -> None:
        self.app, self.config, self.names, self.options, self.found = app, config, names, options, found
        self.ratings, self.journal = found[names.ratings], found[names.journal]
        self.source_id = topic_id(self.ratings)
        self.client_options = client_options(config)
        self.sizes = {each.topic: each.max_message_bytes for each in found.values()}
        identity = Identity(
            self.journal.topic, self.journal.topic_id, self.journal.partitions, learned_settings(config)
        )
        self.replicas = Replicas(
            options,
            CheckpointStore(config.checkpoints, identity),
            lambda partition: rule_of(self.journal, partition, options),
            self.journal.partitions,
            rebuild=rebuild,
        )
        self.adoption = Adoption(config, self.replicas, self.journal)
        self.replicas.sources = self.adoption.sources
        self.checkpointing = Checkpointing(config.checkpoint_interval, jitter=uuid.uuid4().int % 1000 / 1000)
        self.metrics = Metrics(self.replicas, self.checkpointing)
        self.metrics.topic_id, self.metrics.topic = self.source_id, names.ratings
        self.broker_watch = BrokerWatch(config.broker)
        self.recent = RecentRequests()
        self.pace = Pace(config.learn_slice / 1000, self.recent)
        self.topic_watch = TopicWatch(self.ratings, self._identify(names.ratings))
        self.answers = Answers(self.replicas, self.source_id, lambda: self.topic_watch.partitions)
        learner = Learner(self.replicas, self.checkpointing, self.pace, self._learned)
        self.following = Following(
            self.replicas,
            learner,
            self.client_options,
            self._identify(names.journal),
            app.refuse,
            self.answers.learned,
            allow_gap=allow_gap,
        )
        self.metrics.following = self.following
        self.producer = JournalProducer(names.journal, self.client_options)
        self.writer = JournalWriter(
            self.producer,
            self._read_again,
            partitions=self.journal.partitions,
            rules=lambda: [held.replica.rule for held in self.replicas],
            renew=self.producer.renew,
            acknowledged=self.following.acknowledged,
            lost=self._lost,
        )
        send_all = bulk_sender(app, self.sizes, {names.dead_letters: LesserLetters()})
        feedback = options.feedback
        decoder = BatchDecoder(feedback.low, feedback.high, skips=feedback.skips)
        self.ingestor = Ingestor(
            Ingest(names.ratings, decoder),
            self.writer,
            send_all,
            topic_id=self.source_id,
            decoder=fingerprint(feedback.low, feedback.high, skips=feedback.skips),
            dead_letter_topic=names.dead_letters,
            letter_partitions=found[names.dead_letters].partitions,
            applied=self._applied,
            follow_to_end=self.following.follow_to_end,
            pace=Pace(config.learn_slice / 1000, self.recent),
            ingested=self.metrics.ingested,
        )
        letters = found[names.dead_letters].partitions
        self.bury = lambda record: send_all(
            names.dead_letters, [unread_letter(record)._replace(partition=record.partition % letters)]
        )

    def _identify(self, topic: str) -> Any:
        return lambda: topics.identify(self.config.broker, topic, 0.0, security_options(self.config))

    def wire(self, *, logs: bool) -> None:
        """Put the parts together."""
        app, config, names = self.app, self.config, self.names
        app.first.append(self.following)
        log = LogWriter(sender(app), names.recommendations, config.experiment, self.metrics.logged)
        self.answerer = Answerer(
            self.answers,
            sender(app),
            requests_topic=names.requests,
            responses_topic=names.responses,
            reply_topics=[config.topic_prefix + each for each in faust_transport.split(config.reply_topics)],
            request_wait=config.request_wait,
            answered=self.metrics.answered,
            bury=self.bury,
            log=log if logs else None,
            max_age=config.request_max_age,
        )
        self.requests = RequestConsumer(
            {**self.client_options, "group_id": f"{config.group}-requests", **_group_options(config)},
            names.requests,
            max_age=config.request_max_age,
            start_at=self._start_at,
            take=self._take_requests,
            passed=self.answerer.passed,
            revoked=self._requests_revoked,
            assigned=self._requests_assigned,
        )
        app.last.append(self.requests)
        self.reply_commits = Commits(self.requests.commit, least=-1)
        self.rating_commits = Commits(self._commit_ratings)
        self._add_agent()
        self._add_tasks()
        self._add_signals()
        self._add_pages()

    # Ratings: from their topic into the journal, and from the journal into the replicas.

    def _add_agent(self) -> None:
        app = self.app
        topic: Any = app.topic(self.names.ratings, value_type=bytes, value_serializer="raw", acks=False)

        @app.agent(topic, name="ingest")
        async def ingest(batches: Any) -> None:
            async for batch in batches:
                self.metrics.batches.inc()
                await self.ingestor.take(batch)

    def _add_pages(self) -> None:
        app, metrics = self.app, self.metrics
        metrics.progress = SourceProgress(
            self._source_ends,
            lambda partition: self.ingestor.learned(partition, self._applied),
            metrics.delay.observe,
        )
        metrics.gauges.request_lags = lambda: self.answerer.progress.lags(self.requests.ends())
        health = Health(
            self.following,
            self.requests,
            self.replicas,
            self.checkpointing,
            self.broker_watch,
            metrics.loop,
            lambda: app.failure,
            self.ingestor.committable,
        )
        add_pages(app, metrics, health)

    def _source_ends(self) -> dict[int, int]:
        consumer: Any = self.app.consumer
        return {tp.partition: end for tp, end in consumer.ends().items() if tp.topic == self.names.ratings}

    async def _learned(self, held: HeldReplica, followed: Followed) -> None:
        self.metrics.followed(followed)
        self.following.note(held.replica.partition)
        self.writer.followed()
        await self.answers.learned()

    def _applied(self, source: Source) -> int | None:
        """Up to which offset a source is in the state; None where not all of the journal is followed here."""
        rules = [held.replica.rule for held in self.replicas]
        if len(rules) < self.journal.partitions:
            return None
        return min(rule.applied(source) for rule in rules)

    async def _read_again(self, source: Source, offset: int) -> None:
        consumer: Any = self.app.consumer
        await consumer.read_again(TP(self.names.ratings, source.partition), offset)

    async def _lost(self, source: Source, first: int, end: int) -> None:
        """Say so where ratings expired that nobody had read; transactions' marks are no loss."""
        tp = TP(self.names.ratings, source.partition)
        consumer: Any = self.app.consumer
        try:
            begins = (await consumer.spans([tp]))[tp].begins
        except (KafkaError, TimeoutError) as error:
            logger.debug("cannot find out why %s[%d] has a gap: %r", *tp, error)
            return
        if begins > first:
            logger.warning(
                "%s[%d]: offsets %d to %d expired before they were read; they are not learned",
                *(*tp, first, min(begins, end) - 1),
            )

    async def _commit_ratings(self, offsets: Mapping[int, int]) -> bool:
        consumer: Any = self.app.consumer
        tps = {TP(self.names.ratings, partition): offset for partition, offset in offsets.items()}
        return bool(await consumer.commit_offsets(tps))

    async def _begin_ratings(self, partitions: set[int]) -> None:
        """Begin to ingest partitions that were assigned, from where they are in the journal."""
        consumer: Any = self.app.consumer
        tps = [TP(self.names.ratings, partition) for partition in sorted(partitions)]
        while True:
            try:
                spans = await consumer.spans(tps)
                break
            except (KafkaError, TimeoutError) as error:
                logger.debug("cannot find out where to begin: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
        try:
            starts = await self.ingestor.begin({tp.partition: span for tp, span in spans.items()})
        except RecommenderError as error:
            self.app.refuse(error)
            raise
        for partition, offset in starts.items():
            await consumer.read_again(TP(self.names.ratings, partition), offset)

    # Requests.

    async def _start_at(self, partition: int, span: Span) -> int | None:
        if self.replicas.get(partition % self.journal.partitions) is None:
            return None  # its replica is still behind
        return self.answerer.progress.start_at(partition, span.committed, span.begins, span.ends, span.young)

    async def _take_requests(self, partition: int, records: list[Any]) -> None:
        self.recent.note()
        await self.answerer.take(partition, records)

    async def _requests_revoked(self) -> None:
        await self.answerer.hand_over(HAND_OVER_SECONDS)
        await self.reply_commits.advance(self.answerer.progress.done())
        await self.reply_commits.stop()

    def _requests_assigned(self, partitions: set[int]) -> None:
        self.metrics.rebalances.labels("requests").inc()
        self.reply_commits.resume()
        self.answerer.progress.keep_only(partitions)
        self.following.assign({partition % self.journal.partitions for partition in partitions})
        _tell_partitions(self.names.requests, partitions)

    # What runs beside.

    def _add_tasks(self) -> None:
        app = self.app

        def every(seconds: float, work: Any, name: str) -> None:
            async def repeat() -> None:
                while not app.should_stop:
                    await app.sleep(seconds)
                    await work()

            repeat.__name__ = repeat.__qualname__ = name
            app.task(repeat)

        every(BROKER_LOOK_INTERVAL, self.broker_watch.look, "watch_broker")
        every(0.0, self.metrics.loop.look, "watch_loop")
        every(TOPIC_LOOK_INTERVAL, self._watch_topic, "watch_topic")
        every(HANDOVER_LOOK_INTERVAL, self.adoption.look, "adopt")
        every(COMMIT_INTERVAL, self._commit, "commit")
        every(LETTER_LOOK_INTERVAL, self._tell_letters, "tell_dead_letters")

    async def _watch_topic(self) -> None:
        try:
            await self.topic_watch.look()
        except RecommenderError as error:
            self.app.refuse(error)
            raise

    async def _commit(self) -> None:
        await self.rating_commits.advance(self.ingestor.committable())
        await self.reply_commits.advance(self.answerer.progress.done())

    async def _tell_letters(self) -> None:
        self.metrics.refusals.tell()

    def _add_signals(self) -> None:
        signals: Any = self.app  # their types allow no handler with named arguments
        beginning: set[asyncio.Future[None]] = set()

        @signals.on_partitions_revoked.connect
        async def revoked(sender: Any, revoked: set[TP], **kwargs: Any) -> None:
            for task in beginning:
                task.cancel()
            await self.rating_commits.advance(await self.ingestor.revoke())
            await self.rating_commits.stop()

        @signals.on_partitions_assigned.connect
        async def assigned(sender: Any, assigned: set[TP], **kwargs: Any) -> None:
            self.rating_commits.resume()
            partitions = {tp.partition for tp in assigned if tp.topic == self.names.ratings}
            self.metrics.rebalances.labels("ratings").inc()
            if self.metrics.progress is not None:
                self.metrics.progress.keep_only(partitions)
            if partitions:
                _tell_partitions(self.names.ratings, partitions)
                # In the background: it waits for the journal, and a rebalance waits for nobody.
                task = self.app.add_future(self._begin_ratings(partitions))
                beginning.add(task)
                task.add_done_callback(beginning.discard)

        @signals.on_before_shutdown.connect
        async def stopping(sender: Any, **kwargs: Any) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._requests_revoked()
                await self.rating_commits.advance(await self.ingestor.revoke())
                await self.checkpointing.settle(HAND_OVER_SECONDS)
                await self.producer.close()
                self.metrics.refusals.tell(at_once=True)


def _tell_partitions(topic: str, partitions: set[int]) -> None:
    plural = "" if len(partitions) == 1 else "s"
    logger.info("holds %s partition%s %s", topic, plural, ", ".join(map(str, sorted(partitions))) or "none")


def _group_options(config: Settings) -> dict[str, Any]:
    """How long a worker may be silent before its requests are given to others, in aiokafka's words."""
    return {
        "session_timeout_ms": int(config.session_timeout * 1000),
        "heartbeat_interval_ms": int(min(0.5, config.session_timeout / 6) * 1000),
        "rebalance_timeout_ms": int(max(config.session_timeout, 15.0) * 1000),
        "max_poll_interval_ms": 300_000,
    }


def __getattr__(name: str) -> Any:
    """``app``, made from the environment when it is first asked for, as ``faust -A recommender.app`` does."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    config = settings.load()
    globals()["app"] = made = create_app(config)
    process.prepare(config)
    return made
