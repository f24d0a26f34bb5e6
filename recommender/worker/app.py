"""The Faust app of a worker, made from the bottom up: what it knows, ingests and answers, and its pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiokafka.codec
import kafka.codec

from recommender import settings
from recommender.ingest.dead_letters import LesserLetters
from recommender.ingest.sources.mapping import SourceMapping
from recommender.items.shown import ShownStore
from recommender.items.store import ItemStore
from recommender.journal.identity import topic_id
from recommender.kafka import access, codecs, topics
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import TopicInfo, Topics
from recommender.models import registry
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, logs_recommendations
from recommender.worker import process
from recommender.worker.calls import Calls
from recommender.worker.counters import Counters
from recommender.worker.ingestion import Ingestion
from recommender.worker.items_following import Catalogue
from recommender.worker.just_now import JustNow
from recommender.worker.knowledge import Knowledge
from recommender.worker.not_again import NotAgain
from recommender.worker.pacing import RecentRequests
from recommender.worker.reporting import Reporting
from recommender.worker.serving import HAND_OVER_SECONDS, Serving
from recommender.worker.shown_following import ImpressionsFollowing, LogFollowing, Shown
from recommender.worker.transport import faust_transport
from recommender.worker.transport.faust_app import WorkerApp
from recommender.worker.transport.faust_options import faust_options
from recommender.worker.transport.producer import bulk_sender, known_sender, sender
from recommender.worker.used_topics import Mappings, inspect

#: How often what is durable is committed, in seconds.
COMMIT_INTERVAL = 1.0
BROKER_CHECK_INTERVAL = 2.0
TOPIC_CHECK_INTERVAL = 10.0
#: How often it is looked whether the last hours of a partition of the journal are to be counted.
TRENDS_CHECK_INTERVAL = 1.0
#: How often a new hand-over is looked for.
HANDOVER_CHECK_INTERVAL = 5.0
#: How often dead letters are logged.
LETTER_CHECK_INTERVAL = 5.0


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
        Continue where the journal has lost blocks.
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
    names, hide_seen = Topics(config.topic_prefix), config.hide_seen
    mappings = Mappings.load(config, names)
    config = mappings.applied_to(config)
    options = ShardOptions.of(config)
    for model in options.arms.names:
        registry.check(model)
    logs = logs_recommendations(config)
    found = inspect(config, names, mappings, logs=logs)
    app = WorkerApp(config.group, **{**faust_options(config), **faust_settings})
    faust_transport.set_transport(app, config.broker, names.ratings, *mappings.ratings)
    ratings, journal = found[names.ratings], found[names.journal]
    sizes = {each.topic: each.max_message_bytes for each in found.values()}
    send, send_all = sender(app), bulk_sender(app, sizes, {names.dead_letters: LesserLetters()})

    recent, just_now, items, store = RecentRequests(), JustNow(), ItemStore(), ShownStore()
    counters = Counters(names.ratings, [each.name for each in mappings.ratings.values()])
    shown, lacks = _shown(config, names, found, mappings.impressions, store, counters, logs=logs)
    knowledge = Knowledge(
        config,
        options,
        ratings=ratings,
        journal=journal,
        recent=recent,
        items=items,
        hidden=NotAgain(store, hide_seen, config.hide_seen_for, lacks).hidden,
        answered=just_now.answered,
        refuse=app.refuse,
        rebuild=rebuild,
        allow_gap=allow_gap,
    )
    _count(knowledge, counters, just_now)
    given = client_options(config), lambda topic: _identify(config, topic)
    catalogue = Catalogue(items, names, mappings.items, *given, knowledge.sync_items, counters.read_items)
    ingestion = Ingestion(
        app,
        config,
        names=names,
        found=found,
        mappings=mappings.ratings,
        feedback=options.feedback,
        knowledge=knowledge,
        counters=counters,
        send_all=send_all,
        recent=recent,
    )
    serving = Serving(
        config,
        names=names,
        found=found,
        knowledge=knowledge,
        counters=counters,
        send=send,
        send_known=known_sender(app),
        send_all=send_all,
        recent=recent,
        logs=logs,
    )
    app.first += [*catalogue.followings, *shown.followings, knowledge.following]
    app.last.append(serving.consumer)
    reporting = Reporting(
        app,
        config,
        topic_id=topic_id(ratings),
        knowledge=knowledge,
        ingestion=ingestion,
        serving=serving,
        counters=counters,
        items=items,
        catalogue=catalogue,
        just_now=just_now,
        shown=shown,
    )
    calls = Calls(
        app,
        config,
        names=names,
        feedback=options.feedback,
        knowledge=knowledge,
        serving=serving,
        counters=counters,
        send=send,
        recent=recent,
    )
    _repeat_all(app, config, knowledge, items, ingestion, serving, counters, reporting)
    _stop_in_order(app, knowledge, ingestion, serving, counters, reporting, calls)
    return app


def _count(knowledge: Knowledge, counters: Counters, just_now: JustNow) -> None:
    """Count what is followed and learned."""
    subscribe = knowledge.followed.subscribe
    subscribe(lambda _, followed: counters.followed(followed))
    subscribe(lambda held, _: counters.forgot(held.replica.shard.forgetting.take_counts()))
    subscribe(lambda held, _: counters.bounds.look(held))
    subscribe(lambda _, followed: just_now.learned(followed.rows))


def _shown(
    config: Settings,
    names: Topics,
    found: Mapping[str, TopicInfo],
    impressions: Sequence[SourceMapping],
    store: ShownStore,
    counters: Counters,
    *,
    logs: bool,
) -> tuple[Shown, str]:
    """The topics that say what was shown; in words, why there are none."""
    hours, options = config.hide_seen_for, client_options(config)
    if impressions:
        given = store, hours, options
        return Shown(
            store,
            impressions={
                each.name: ImpressionsFollowing(
                    each, *given, _identify(config, each.topic), counters.read_impressions
                )
                for each in impressions
            },
        ), ""
    topic = names.recommendations
    if not logs:
        return Shown(store), (
            "this worker keeps no log of what it showed: expected RECOMMENDER_RECOMMENDATIONS_LOG=on, or a "
            "source of impressions"
        )
    if not access.allows(found[topic], access.READ):
        return Shown(store), f"this worker may not read {topic}: expected an ACL for READ on it"
    log = LogFollowing(store, hours, topic, options, _identify(config, topic), counters.read_log)
    return Shown(store, log), ""


def _identify(config: Settings, topic: str) -> Callable[[], TopicInfo]:
    """Asks a broker for a topic as it is now."""
    return lambda: topics.identify(config.broker, topic, 0.0, security_options(config))


def _repeat_all(
    app: WorkerApp,
    config: Settings,
    knowledge: Knowledge,
    items: ItemStore,
    ingestion: Ingestion,
    serving: Serving,
    counters: Counters,
    reporting: Reporting,
) -> None:
    """Do again and again what nothing else brings about."""

    async def sync_items() -> None:
        """Tell a replica that was loaded just now of the items, so that no request has to."""
        knowledge.sync_items(items)

    app.repeat("watch_broker", BROKER_CHECK_INTERVAL, reporting.broker.check)
    app.repeat("watch_loop", 0.0, reporting.loop.measure)
    app.repeat("take_figures", 0.0, reporting.pulse.beat)
    app.repeat("watch_topic", TOPIC_CHECK_INTERVAL, ingestion.check)
    app.repeat("adopt", HANDOVER_CHECK_INTERVAL, knowledge.adoption.adopt)
    app.repeat("bound_journal", config.checkpoint_interval, knowledge.retention.apply)
    app.repeat("commit", COMMIT_INTERVAL, sync_items, ingestion.commit, serving.commit)
    app.repeat("read_trends", TRENDS_CHECK_INTERVAL, knowledge.trends.read)
    app.repeat("log_dead_letters", LETTER_CHECK_INTERVAL, counters.log_refusals)


def _stop_in_order(
    app: WorkerApp,
    knowledge: Knowledge,
    ingestion: Ingestion,
    serving: Serving,
    counters: Counters,
    reporting: Reporting,
    calls: Calls,
) -> None:
    """Settle and commit all before the app's services stop."""
    signals: Any = app  # their types allow no handler with named arguments

    @signals.on_before_shutdown.connect
    async def stopping(sender: Any, **kwargs: Any) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await reporting.pulse.close()
            await serving.revoke()
            await calls.close()
            await ingestion.revoke()
            await knowledge.checkpointing.settle(HAND_OVER_SECONDS)
            await ingestion.close()
            counters.refusals.log(at_once=True)


def __getattr__(name: str) -> Any:
    """``app``, made from the environment when it is first asked for, as ``faust -A recommender.app`` does."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    config = settings.load()
    globals()["app"] = made = create_app(config)
    process.prepare(config)
    return made
