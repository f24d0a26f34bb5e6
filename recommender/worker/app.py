"""The Faust app: topics, the two agents, timers and pages. Wiring only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

import faust
from faust.types import TP

from recommender import settings
from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.errors import RecommenderError
from recommender.experiments.log_writer import LogWriter
from recommender.ingest.dead_letters import LesserLetters
from recommender.ingest.ingest import Ingest
from recommender.kafka import access, topics
from recommender.kafka.admin import security_options
from recommender.kafka.topics import Finding, Topics
from recommender.messages.ratings import RatingDecoder
from recommender.models import registry
from recommender.settings import Settings, logs_recommendations
from recommender.shard.shard import ShardOptions
from recommender.web.pages import add_pages
from recommender.worker import process
from recommender.worker.adoption import Adoption
from recommender.worker.answering import Answerer
from recommender.worker.broker_watch import BrokerWatch
from recommender.worker.commits import Commits
from recommender.worker.demand import Demand
from recommender.worker.learning import Learner
from recommender.worker.metrics import Metrics
from recommender.worker.pacing import Pace
from recommender.worker.saving import Saving
from recommender.worker.shards import LogGap, Shards
from recommender.worker.topic_watch import TopicWatch
from recommender.worker.transport import faust_transport
from recommender.worker.transport.consumer import Positions
from recommender.worker.transport.faust_options import faust_options
from recommender.worker.transport.producer import bulk_sender, sender
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

#: How often replies' offsets are committed, in seconds.
REPLY_COMMIT_INTERVAL = 1.0
BROKER_LOOK_INTERVAL = 2.0
TOPIC_LOOK_INTERVAL = 10.0
#: Between two saves lies at least so many times what writing took: large states do not keep the disk busy.
SAVE_PACE = 4


class WorkerApp(faust.App):
    """A Faust app that holds shards.

    Attributes
    ----------
    failure : RecommenderError or None
        Why it stopped, if it was for something that a person has to mend.
    """

    logger = logging.getLogger("faust.app")
    failure: RecommenderError | None = None
    shards: Shards
    learner: Learner
    answerer: Answerer
    metrics: Metrics
    topic_watch: TopicWatch

    def _create_directories(self) -> None:
        """None: Faust's are for tables, and we have none."""

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
    rebuild, allow_gap : bool
        As in `Shards`.
    **faust_settings
        Passed on to Faust.

    Raises
    ------
    RecommenderError
        No broker answers, the topics are not as they must be, or a setting names what does not exist.
    """
    options = ShardOptions.of(config)
    for model in options.arms.names:
        registry.check(model)
    names = Topics(config.topic_prefix)
    logs = logs_recommendations(config)
    found = {each.topic: each for each in _inspect(config, names, logs=logs)}
    ratings = found[names.ratings]

    app = WorkerApp(config.group, **{**faust_options(config), **faust_settings})
    identity = Identity(ratings.topic, ratings.topic_id, ratings.partitions, settings.learned(config))
    app.shards = Shards(
        options, CheckpointStore(config.checkpoints, identity), rebuild=rebuild, allow_gap=allow_gap
    )
    app.topic_watch = _topic_watch(config, ratings)
    app.metrics = Metrics(app.shards)
    demand = Demand()
    decoder = RatingDecoder(options.feedback.low, options.feedback.high, skips=options.feedback.skips)
    sizes = {each.topic: each.max_message_bytes for each in found.values()}
    app.learner = Learner(
        app.shards,
        Ingest(names.ratings, ratings.partitions, decoder),
        bulk_sender(app, sizes, {names.dead_letters: LesserLetters()}),
        _seeker(app, names.ratings),
        dead_letter_topic=names.dead_letters,
        pace=Pace(config.learn_slice / 1000, demand),
        learned=app.metrics.learned,
    )
    logged = sender(app), names.recommendations, config.experiment, app.metrics.logged
    app.answerer = Answerer(
        app.shards,
        sender(app),
        _seeker(app, names.requests),
        requests_topic=names.requests,
        responses_topic=names.responses,
        partitions=ratings.partitions,
        reply_topics=[config.topic_prefix + each for each in faust_transport.split(config.reply_topics)],
        request_wait=config.request_wait,
        answered=app.metrics.answered,
        log=LogWriter(*logged) if logs else None,
        max_age=config.request_max_age,
    )
    adoption = Adoption(config, app.shards, ratings)
    app.shards.ways = adoption.ways
    positions = _positions(app, names)
    faust_transport.set_transport(
        app, config.broker, positions, [names.ratings], demand, config.request_max_age
    )
    _add_agents(app, names)
    _add_saving(app, names, config)
    _add_watching(app, config)
    _add_adoption(app, adoption, config.checkpoint_interval)
    add_pages(app)
    return app


def _inspect(config: Settings, names: Topics, *, logs: bool) -> list[Finding]:
    unused = () if logs else (names.recommendations,)
    given = config.broker, names, config.broker_wait, security_options(config)
    found = topics.check(*given, unused=unused, tell=logger.warning)
    access.require(found, access.needed(names, found[0].partitions, logs=logs), config.broker)
    for each in found:
        for warning in each.warnings:
            logger.warning("%s: %s", each.topic, warning)
    return found


def _seeker(app: WorkerApp, topic: str) -> Any:
    async def seek(partition: int, offset: int) -> None:
        await app.consumer.read_again(TP(topic, partition), offset)  # type: ignore[attr-defined]

    return seek


@contextlib.asynccontextmanager
async def _refusing(app: WorkerApp) -> AsyncIterator[None]:
    """What a person has to mend is what the worker says in the end."""
    try:
        yield
    except RecommenderError as error:
        reason = error
        if isinstance(error, LogGap):
            # A log that does not go on is most often another log.
            try:
                await app.topic_watch.look()
            except RecommenderError as cause:
                reason = cause
        app.refuse(reason)
        raise reason from None


def _positions(app: WorkerApp, names: Topics) -> Positions:
    """Where to read on from: ratings where the shard ends, requests where the replies do."""

    async def positions(partitions: Mapping[TP, Span]) -> Mapping[TP, int]:
        wanted = {}
        for tp, span in sorted(partitions.items()):
            if tp.topic == names.requests:
                given = span.committed, span.begins, span.ends, span.young
                wanted[tp] = app.answerer.start_at(tp.partition, *given)
            elif tp.topic == names.ratings:
                async with _refusing(app):
                    held = await app.shards.open(tp.partition, span.begins, span.ends, span.committed)
                wanted[tp] = held.shard.offset
        return wanted

    return positions


def _add_agents(app: WorkerApp, names: Topics) -> None:
    def raw(topic: str) -> Any:
        return app.topic(topic, value_type=bytes, value_serializer="raw", acks=False)

    @app.agent(raw(names.ratings), name="learn")
    async def learn(batches: Any) -> None:
        async for batch in batches:
            app.metrics.batches.inc()
            async with _refusing(app):
                await app.learner.take(batch)
            await app.answerer.learned()

    @app.agent(raw(names.requests), name="answer")
    async def answer(batches: Any) -> None:
        async for batch in batches:
            await app.answerer.take(batch)


def _add_adoption(app: WorkerApp, adoption: Adoption, interval: float) -> None:
    @app.task
    async def adopt() -> None:
        while not app.should_stop:
            await app.sleep(interval)
            await adoption.look()


def _topic_watch(config: Settings, ratings: Finding) -> TopicWatch:
    def identify() -> Finding:
        return topics.identify(config.broker, ratings.topic, 0.0, security_options(config))

    return TopicWatch(ratings, identify)


def _add_watching(app: WorkerApp, config: Settings) -> None:
    @app.task
    async def watch_broker() -> None:
        broker = BrokerWatch(config.broker)
        while not app.should_stop:
            await app.sleep(BROKER_LOOK_INTERVAL)
            await broker.look()

    @app.task
    async def watch_topic() -> None:
        while not app.should_stop:
            await app.sleep(TOPIC_LOOK_INTERVAL)
            async with _refusing(app):
                await app.topic_watch.look()


def _add_saving(app: WorkerApp, names: Topics, config: Settings) -> None:
    signals: Any = app  # their types allow no handler with named arguments

    async def commit(offsets: Mapping[TP, int]) -> bool:
        return bool(await app.consumer.commit_offsets(offsets))  # type: ignore[attr-defined]

    commits = Commits(commit)
    saving = Saving(app.shards, app.answerer, commits, names)

    @app.task
    async def save() -> None:
        while not app.should_stop:
            await app.sleep(max(config.checkpoint_interval, SAVE_PACE * app.shards.writing_took))
            await saving.save()

    @app.task
    async def commit_replies() -> None:
        while not app.should_stop:
            await app.sleep(REPLY_COMMIT_INTERVAL)
            await saving.commit_replies()

    @signals.on_partitions_revoked.connect
    async def revoked(sender: Any, revoked: set[TP], **kwargs: Any) -> None:
        await saving.settle()
        await commits.stop()

    @signals.on_partitions_assigned.connect
    async def assigned(sender: Any, assigned: set[TP], **kwargs: Any) -> None:
        commits.go_on()
        if assigned:
            mine = sorted(tp.partition for tp in assigned if tp.topic == names.ratings)
            plural = "" if len(mine) == 1 else "s"
            logger.info("holds %s partition%s %s", names.ratings, plural, ", ".join(map(str, mine)))
            app.shards.keep_only(set(mine))
            app.answerer.keep_only({tp.partition for tp in assigned if tp.topic == names.requests})

    @signals.on_before_shutdown.connect
    async def stopping(sender: Any, **kwargs: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await saving.settle()


def __getattr__(name: str) -> Any:
    """``app``, made from the environment when it is first asked for, as ``faust -A recommender.app`` does."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    config = settings.load()
    globals()["app"] = made = create_app(config)
    process.prepare(config)
    return made
