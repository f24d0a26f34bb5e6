"""Finds the topics that a worker uses, and checks them before it starts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence

from recommender.ingest.sources.configured import impressions_of, item_mappings_of, mappings_of
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.kafka import access, topics
from recommender.kafka.admin import security_options
from recommender.kafka.topics import TopicInfo, Topics
from recommender.settings import Settings

logger = logging.getLogger(__name__)


def inspect(config: Settings, names: Topics, *, logs: bool) -> list[TopicInfo]:
    """Check the worker's own topics and its rights on them, and log what a user should know of them.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        No broker answers, a topic is missing or not as it must be, or a right is missing.
    """
    unused = () if logs else (names.recommendations,)
    found = topics.check(
        config.broker,
        names,
        config.broker_wait,
        security_options(config),
        unused=unused,
        tell=logger.warning,
    )
    wanted = access.needed(names, logs=logs, follows_log=config.hide_seen > 0)
    access.require(found, wanted, config.broker)
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
    own = set(names.all) - {names.ratings}  # which a table may map in another way
    _require_foreign("", ((each.name, each.topic) for each in mappings), own)
    return {each.topic: each for each in mappings}


def load_item_mappings(config: Settings, names: Topics) -> list[ItemsMapping]:
    """The sources of items.

    Raises
    ------
    SourcesError
        One cannot be.
    """
    mappings = item_mappings_of(config)
    _require_foreign(" of items", ((each.name, each.topic) for each in mappings), names.all)
    return mappings


def load_impressions(config: Settings, names: Topics) -> list[SourceMapping]:
    """The sources of impressions.

    Raises
    ------
    SourcesError
        One cannot be.
    """
    mappings = impressions_of(config)
    _require_foreign(" of impressions", ((each.name, each.topic) for each in mappings), names.all)
    return mappings


def _require_foreign(kind: str, tables: Iterable[tuple[str, str]], own: Collection[str]) -> None:
    """Raise a `SourcesError` if a table, given as (name, topic), reads a topic of the worker's own."""
    for name, topic in tables:
        if topic in own:
            raise SourcesError(
                f"source `{name}`{kind} reads topic {topic!r}: expected one that is not the worker's own"
            )


def inspect_sources(config: Settings, read: Sequence[str]) -> dict[str, TopicInfo]:
    """The sources' topics that exist; a `TopicsError` if one may not be read."""
    if not read:
        return {}
    wanted = list(dict.fromkeys(read))
    found = topics.describe(config.broker, wanted, config.broker_wait, security_options(config))
    access.require(found.values(), {topic: [access.READ] for topic in wanted}, config.broker)
    return found
