"""The topics that a worker uses: how records are mapped, and whether it may use them, before it starts."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from recommender.ingest.sources.configured import (
    impressions_of,
    item_mappings_of,
    mappings_of,
    with_log_for,
    with_repeats,
)
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.kafka import access, topics
from recommender.kafka.admin import security_options
from recommender.kafka.topics import TopicInfo, Topics
from recommender.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mappings:
    """The sources that the settings name.

    Attributes
    ----------
    ratings : dict of str to SourceMapping
        By topic.
    items : list of ItemsMapping
    impressions : list of SourceMapping
    """

    ratings: dict[str, SourceMapping]
    items: list[ItemsMapping]
    impressions: list[SourceMapping]

    @classmethod
    def load(cls, config: Settings, names: Topics) -> Mappings:
        """Read them.

        Raises
        ------
        SourcesError
            One cannot be, or reads a topic of the worker's own.
        """
        ratings, items, impressions = mappings_of(config), item_mappings_of(config), impressions_of(config)
        # Its ratings topic a table may map in another way.
        _require_foreign("", ((each.name, each.topic) for each in ratings), set(names.all) - {names.ratings})
        _require_foreign(" of items", ((each.name, each.topic) for each in items), names.all)
        _require_foreign(" of impressions", ((each.name, each.topic) for each in impressions), names.all)
        return cls({each.topic: each for each in ratings}, items, impressions)

    @property
    def topics(self) -> list[str]:
        """The topics that they read, each once."""
        items, impressions = (each.topic for each in self.items), (each.topic for each in self.impressions)
        return list(dict.fromkeys([*self.ratings, *items, *impressions]))

    def applied_to(self, config: Settings) -> Settings:
        """The settings with what follows from the sources."""
        return with_log_for(with_repeats(config, self.ratings.values()), self.impressions)


def inspect(config: Settings, names: Topics, mappings: Mappings, *, logs: bool) -> dict[str, TopicInfo]:
    """Check topics and the rights on them, and log what a user should know of the worker's own.

    Returns
    -------
    dict of str to TopicInfo
        The worker's own topics, and those of its sources that exist.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        No broker answers, a topic is missing or not as it must be, or a right is missing.
    """
    own = _inspect_own(config, names, logs=logs)
    if not mappings.topics:
        return own
    sources = topics.describe(config.broker, mappings.topics, config.broker_wait, security_options(config))
    access.require(sources.values(), {topic: [access.READ] for topic in mappings.topics}, config.broker)
    return own | sources


def _inspect_own(config: Settings, names: Topics, *, logs: bool) -> dict[str, TopicInfo]:
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
    return {each.topic: each for each in found}


def _require_foreign(kind: str, tables: Iterable[tuple[str, str]], own: Collection[str]) -> None:
    """Raise a `SourcesError` if a table, given as (name, topic), reads a topic of the worker's own."""
    for name, topic in tables:
        if topic in own:
            raise SourcesError(
                f"source `{name}`{kind} reads topic {topic!r}: expected one that is not the worker's own"
            )
