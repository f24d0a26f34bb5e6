"""The Faust app: topics, the ingest agent, the services beside it, and pages. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import aiokafka.codec
import faust
import kafka.codec
from aiokafka.errors import KafkaError
from faust.app.base import BootStrategy
from faust.types import TP
from mode.types import ServiceT

from recommender import settings
from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.errors import RecommenderError
from recommender.experiments.log_writer import LogWriter
from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.dead_letters import LesserLetters
from recommender.ingest.ingest import Ingest, unread_letter
from recommender.items.store import ItemStore
from recommender.journal.block import Source
from recommender.journal.fingerprint import fingerprint, of_source
from recommender.journal.identity import topic_id
from recommender.journal.producer import JournalProducer
from recommender.journal.rule import Followed
from recommender.journal.rules import rule_of
from recommender.journal.writer import JournalWriter
from recommender.kafka import access, codecs, topics
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import Finding, Topics
from recommender.messages.ratings import RatingDecoder
from recommender.messages.records import Record
from recommender.models import registry
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings, logs_recommendations
from recommender.sources.configured import mappings_of, reader_of, registry_of, with_repeats
from recommender.sources.mapping import SourceMapping, SourcesError
from recommender.sources.source_ingest import SourceIngest
from recommender.web.api import Api
from recommender.web.guard import Guard
from recommender.web.live import LivePage
from recommender.web.pages import add_pages
from recommender.web.people import People
from recommender.worker import process
from recommender.worker.adoption import Adoption
from recommender.worker.answering import Answerer
from recommender.worker.answers import Answers
from recommender.worker.broker_watch import BrokerWatch
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.commits import Commits
from recommender.worker.following import Following
from recommender.worker.health import Health
from recommender.worker.http_ratings import RatingWriter
from recommender.worker.http_service import HttpService
from recommender.worker.ingesting import Ingestor, Reads
from recommender.worker.intake import Intake, Prepare
from recommender.worker.items_following import ItemsFollowing
from recommender.worker.just_now import JustNow
from recommender.worker.learning import Learner
from recommender.worker.metrics import Metrics
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.passing_on import PassingOn
from recommender.worker.picture import Picture
from recommender.worker.pulse import Pulse
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.request_consumer import RequestConsumer
from recommender.worker.schema_wait import SchemaWait
from recommender.worker.source_progress import SourceProgress
from recommender.worker.source_reading import JudgedIngest
from recommender.worker.transport import faust_transport
from recommender.worker.transport.faust_options import faust_options
from recommender.worker.transport.producer import bulk_sender, sender
from recommender.worker.transport.spans import Span
from recommender.worker.transport.web_server import WebServer

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


class Boot(BootStrategy):
    """Starts following before Faust's consumer, which joins the group, and answering after that."""

    def server(self) -> Iterable[ServiceT]:
        """The services in the order in which they start."""
        app: Any = self.app
        return self._chain(
            self.sensors(),
            self.kafka_producer(),
            self.web_server(),
            [app.items, app.following],
            self.kafka_consumer(),
            self.agents(),
            self.kafka_conductor(),
            self.tables(),
            [app.requests],
        )


class WorkerApp(faust.App):
    """A Faust app that ingests ratings, with a follower and a consumer of requests beside it.

    Attributes
    ----------
    failure : RecommenderError or None
        Why it stopped, if it was for something that a person has to fix.
    following : Following
    items : ItemsFollowing
    requests : RequestConsumer
    """

    logger = logging.getLogger("faust.app")
    BootStrategy = Boot
    failure: RecommenderError | None = None
    following: Following
    items: ItemsFollowing
    requests: RequestConsumer

    def _create_directories(self) -> None:
        """None: Faust's are for tables, and we have none."""

    def _new_web(self) -> Any:
        return WebServer(self)

    def refuse(self, error: RecommenderError) -> None:
        """Stop; whoever runs the app says why."""
        self.failure = error


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
    names = Topics(config.topic_prefix)
    mappings = load_mappings(config, names)
    config = with_repeats(config, mappings.values())
    options = ShardOptions.of(config)
    for model in options.arms.names:
        registry.check(model)
    logs = logs_recommendations(config)
    found = {each.topic: each for each in _inspect(config, names, logs=logs)}
    found |= _inspect_sources(config, mappings)
    app = WorkerApp(config.group, **{**faust_options(config), **faust_settings})
    faust_transport.set_transport(app, config.broker, names.ratings, *mappings)
    worker = _Parts(app, config, names, options, found, mappings, rebuild=rebuild, allow_gap=allow_gap)
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


def load_mappings(config: Settings, names: Topics) -> dict[str, SourceMapping]:
    """The sources by their topics.

    Raises
    ------
    SourcesError
        One cannot be.
    """
    mappings = mappings_of(config)
    for each in mappings:
        if each.topic in names.all and each.topic != names.ratings:
            raise SourcesError(
                f"source `{each.name}` reads topic {each.topic!r}: expected one that is not the worker's own"
            )
    return {each.topic: each for each in mappings}


def _inspect_sources(config: Settings, mappings: Mapping[str, SourceMapping]) -> dict[str, Finding]:
    """The sources' topics that exist; a `TopicsError` if one may not be read."""
    if not mappings:
        return {}
    found = topics.describe(config.broker, list(mappings), config.broker_wait, security_options(config))
    access.require(found.values(), {topic: [access.READ] for topic in mappings}, config.broker)
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
        mappings: Mapping[str, SourceMapping],
        *,
        rebuild: bool,
        allow_gap: bool,
    ) -> None:
        self.mappings, self.registry = mappings, registry_of(config)
        self.readers = {topic: reader_of(each, self.registry) for topic, each in mappings.items()}
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
        self.metrics = Metrics(self.replicas, self.checkpointing, [each.name for each in mappings.values()])
        self.metrics.topic_id, self.metrics.topic = self.source_id, names.ratings
        self.broker_watch = BrokerWatch(config.broker)
        self.recent, self.just_now = RecentRequests(), JustNow()
        self.pace = Pace(config.learn_slice / 1000, self.recent)
        self.intake = Intake(
            dict.fromkeys([names.ratings, *mappings]), self._ingestor, self._identified, self._firsts
        )
        self.items = ItemStore()
        self.answers = Answers(
            self.replicas, self.source_id, lambda: self.intake.watches[names.ratings].partitions, self.items
        )
        self.answers.answered = self.just_now.answered
        learner = Learner(self.replicas, self.checkpointing, self.pace, self._learned)
        self.following = Following(
            self.replicas,
            learner,
            self.client_options,
            lambda: self._identified(names.journal),
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
        self.send_all = send_all = bulk_sender(app, self.sizes, {names.dead_letters: LesserLetters()})
        for topic in self.intake.topics:
            if topic in found:
                self.intake.open(found[topic])
        self.intake.tell_missing()
        letters = found[names.dead_letters].partitions
        self.bury = lambda record: send_all(
            names.dead_letters, [unread_letter(record)._replace(partition=record.partition % letters)]
        )

    def _identified(self, topic: str) -> Finding:
        return topics.identify(self.config.broker, topic, 0.0, security_options(self.config))

    def _ingestor(self, topic: Finding) -> tuple[Ingestor, Prepare | None]:
        """The ingestor of the ratings topic or of a source, and what a source's records wait for."""
        prepare: Prepare | None = None
        feedback, mapping = self.options.feedback, self.mappings.get(topic.topic)
        low, high, skips = feedback.low, feedback.high, feedback.skips
        decoder = fingerprint(low, high, skips=skips)
        ingest: Reads
        ingested: Callable[[int, Any, Sequence[Record]], None]
        if mapping is None:
            ingest, ingested = (
                Ingest(topic.topic, BatchDecoder(low, high, skips=skips)),
                self.metrics.ingested,
            )
        else:
            decoder = of_source(decoder, mapping.fingerprint)
            reader = self.readers[mapping.topic]
            source = SourceIngest(mapping, low, high, skips=skips, reader=reader)
            if reader is not None and self.registry is not None:
                prepare = wait = SchemaWait(mapping.name, reader, self.registry)
                self.metrics.source_counts.waits[mapping.name] = lambda: wait.waits_for
            ingest = JudgedIngest(source, self.config.max_rejected)
            ingested = self.metrics.ingested_of(mapping.name)
        names = self.names
        ingestor = Ingestor(
            ingest,
            self.writer,
            self.send_all,
            topic_id=topic_id(topic),
            decoder=decoder,
            dead_letter_topic=names.dead_letters,
            letter_partitions=self.found[names.dead_letters].partitions,
            applied=self._applied,
            follow_to_end=self.following.follow_to_end,
            pace=Pace(self.config.learn_slice / 1000, self.recent),
            ingested=ingested,
            mapped=self._mapped,
        )
        return ingestor, prepare

    def wire(self, *, logs: bool) -> None:
        """Put the parts together."""
        app, config, names = self.app, self.config, self.names
        app.following = self.following
        app.items = ItemsFollowing(
            self.items,
            names.items,
            self.client_options,
            lambda: self._identified(names.items),
            self._sync_items,
            self.metrics.read_items,
        )
        self.metrics.gauges.items = lambda: len(self.items)
        self.metrics.items = app.items
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
        app.requests = RequestConsumer(
            {**self.client_options, "group_id": f"{config.group}-requests", **_group_options(config)},
            names.requests,
            max_age=config.request_max_age,
            start_at=self._start_at,
            take=self._take_requests,
            passed=self.answerer.passed,
            revoked=self._requests_revoked,
            assigned=self._requests_assigned,
        )
        self.reply_commits = Commits(app.requests.commit, least=-1)
        self.rating_commits = Commits(self._commit_ratings)
        self._add_agent()
        self._add_pages()
        self._add_tasks()
        self._add_signals()
        self._add_http(log if logs else None)

    def _add_http(self, log: LogWriter | None) -> None:
        app, config, names, feedback = self.app, self.config, self.names, self.options.feedback
        decoder = RatingDecoder(feedback.low, feedback.high, skips=feedback.skips)
        self.passing_on = PassingOn(self.client_options, sender(app), names.requests, names.responses)
        self.http = HttpService(
            self.answers,
            RatingWriter(sender(app), names.ratings, decoder),
            request_wait=config.request_wait,
            answered=self.metrics.answered,
            arrived=self.recent.note,
            log=log,
            pass_on=self.passing_on.ask if self.journal.partitions > 1 else None,
        )
        web: Any = app.web
        guard = Guard(config.web_host, config.web_token)
        Api(self.http, guard, feedback.low, feedback.high, skips=feedback.skips).add_to(web.web_app.router)

    # Ratings: from their topic into the journal, and from the journal into the replicas.

    def _add_agent(self) -> None:
        app = self.app
        # One for each, since a source that waits must not hold up another.
        for number, name in enumerate(self.intake.topics):
            topic: Any = app.topic(name, value_type=bytes, value_serializer="raw", acks=False)

            @app.agent(topic, name=f"ingest-{number}" if number else "ingest")
            async def ingest(batches: Any) -> None:
                async for batch in batches:
                    self.metrics.batches.inc()
                    await self.intake.take(batch)

    def _add_pages(self) -> None:
        app, metrics = self.app, self.metrics
        metrics.progress = SourceProgress(
            self._source_ends,
            lambda partition: self.intake.ingestor(self.names.ratings).learned(partition, self._applied),
            metrics.delay.observe,
        )
        metrics.gauges.request_lags = lambda: self.answerer.progress.lags(app.requests.ends())
        health = Health(
            self.following,
            app.requests,
            self.replicas,
            self.checkpointing,
            self.broker_watch,
            metrics.loop,
            lambda: app.failure,
            self.intake.ingestor(self.names.ratings).committable,
        )
        add_pages(app, metrics, health)
        picture = Picture(metrics, self.replicas, self.items)
        self.pulse = Pulse(metrics, self.replicas, health, picture, self.just_now, self._is_standby)
        web: Any = app.web
        config = self.config
        people = People(config.web_people, config.web_host, config.web_token)
        guard = Guard(config.web_host, config.web_token)
        LivePage(self.pulse, people.are_shown, guard).add_to(web.web_app.router)

    def _is_standby(self) -> bool:
        return not self.app.requests.partitions and not self.intake.committable()

    def _source_ends(self) -> dict[int, int]:
        consumer: Any = self.app.consumer
        return {tp.partition: end for tp, end in consumer.ends().items() if tp.topic == self.names.ratings}

    async def _learned(self, held: HeldReplica, followed: Followed) -> None:
        self.metrics.followed(followed)
        self.just_now.learned(followed.rows)
        self.following.note(held.replica.partition)
        self.writer.followed()
        await self.answers.learned()

    def _applied(self, source: Source) -> int | None:
        """Up to which offset a source is in the state; None where not all of the journal is followed here."""
        rules = [held.replica.rule for held in self.replicas]
        if len(rules) < self.journal.partitions:
            return None
        return min(rule.applied(source) for rule in rules)

    def _mapped(self, source: Source) -> int:
        """The fingerprint by which a source was mapped last, as far as that is known here."""
        return next((found for held in self.replicas if (found := held.replica.rule.decoder(source))), 0)

    async def _firsts(self, spans: Mapping[TP, Span]) -> dict[TP, int]:
        """Where partitions begin of which nothing was read yet, where the source says so."""
        consumer: Any = self.app.consumer
        firsts: dict[TP, int] = {}
        ids = self.intake.sources()
        for tp, span in spans.items():
            start = self.mappings[tp.topic].start if tp.topic in self.mappings else "earliest"
            if start == "earliest" or span.committed is not None or tp.topic not in ids:
                continue
            if self._applied(Source(ids[tp.topic], tp.partition)):
                continue
            firsts[tp] = span.ends
            if start != "latest":
                offset = (await consumer.offsets_at({tp: start}))[tp]
                firsts[tp] = span.ends if offset is None else offset
        return firsts

    async def _read_again(self, source: Source, offset: int) -> None:
        consumer: Any = self.app.consumer
        await consumer.read_again(self.intake.place(source), offset)

    async def _lost(self, source: Source, first: int, end: int) -> None:
        """Say so where ratings expired that nobody had read; transactions' marks are no loss."""
        tp = self.intake.place(source)
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

    async def _commit_ratings(self, offsets: Mapping[TP, int]) -> bool:
        consumer: Any = self.app.consumer
        return bool(await consumer.commit_offsets(offsets))

    async def _begin_ratings(self, tps: set[TP]) -> None:
        """Begin to ingest partitions that were assigned, from where they are in the journal."""
        consumer: Any = self.app.consumer
        while True:
            try:
                spans = await consumer.spans(sorted(tps))
                break
            except (KafkaError, TimeoutError) as error:
                logger.debug("cannot find out where to begin: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
        try:
            starts = await self.intake.begin(spans)
        except RecommenderError as error:
            self.app.refuse(error)
            raise
        for tp, offset in starts.items():
            await consumer.read_again(tp, offset)

    # Requests.

    def _sync_items(self) -> None:
        for held in self.replicas:
            held.replica.shard.sync_items(self.items)

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
        every(0.0, self.pulse.beat, "take_figures")
        every(TOPIC_LOOK_INTERVAL, self._watch_topic, "watch_topic")
        every(HANDOVER_LOOK_INTERVAL, self.adoption.look, "adopt")
        every(COMMIT_INTERVAL, self._commit, "commit")
        every(LETTER_LOOK_INTERVAL, self._tell_letters, "tell_dead_letters")

    async def _watch_topic(self) -> None:
        try:
            await self.intake.look()
        except RecommenderError as error:
            self.app.refuse(error)
            raise

    async def _commit(self) -> None:
        await self.rating_commits.advance(self.intake.committable())
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
            await self.rating_commits.advance(await self.intake.revoke())
            await self.rating_commits.stop()

        @signals.on_partitions_assigned.connect
        async def assigned(sender: Any, assigned: set[TP], **kwargs: Any) -> None:
            self.rating_commits.resume()
            ours = {tp for tp in assigned if tp.topic in self.intake.topics}
            self.metrics.rebalances.labels("ratings").inc()
            if self.metrics.progress is not None:
                self.metrics.progress.keep_only(
                    {tp.partition for tp in ours if tp.topic == self.names.ratings}
                )
            for topic in sorted({tp.topic for tp in ours}):
                _tell_partitions(topic, {tp.partition for tp in ours if tp.topic == topic})
            if ours:
                # In the background: it waits for the journal, and a rebalance waits for nobody.
                task = self.app.add_future(self._begin_ratings(ours))
                beginning.add(task)
                task.add_done_callback(beginning.discard)

        @signals.on_before_shutdown.connect
        async def stopping(sender: Any, **kwargs: Any) -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await self.pulse.close()
                await self._requests_revoked()
                await self.http.close(HAND_OVER_SECONDS)
                await self.passing_on.close()
                await self.rating_commits.advance(await self.intake.revoke())
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
