"""The topics that the worker reads and writes: their names, creating them, and what must hold of them."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from kafka import KafkaAdminClient

from recommender.kafka.admin import Tell, open_admin
from recommender.kafka.topic_configs import (
    FOR_ITEMS,
    FOR_RATINGS,
    FOR_RECOMMENDATIONS,
    FOR_REQUESTS,
    Configs,
    dead_letter_warnings,
    for_dead_letters,
    for_journal,
    item_warnings,
    journal_faults,
    journal_warnings,
    largest_batch,
    read_configs,
    request_warnings,
)
from recommender.kafka.topic_creation import Patience, create_topics
from recommender.kafka.topic_info import TopicInfo, describe, described, identify
from recommender.kafka.topic_names import Topics, TopicsError

__all__ = ["TopicInfo", "Topics", "TopicsError", "check", "describe", "ensure", "identify"]


def ensure(
    bootstrap_servers: str,
    topics: Topics,
    partitions: int = 1,
    replication: int = 1,
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
    *,
    exact: bool = False,
    journal_partitions: int | None = None,
    tell: Tell | None = None,
) -> list[TopicInfo]:
    """Create the topics that are missing, and check all of them.

    Parameters
    ----------
    bootstrap_servers : str
        Addresses HOST:PORT, separated by commas.
    topics : Topics
    partitions : int
        Partitions of new topics. Their numbers need not be equal.
    replication : int
        Copies of new topics' partitions.
    wait_seconds : float
        How long to wait for a broker that is not there yet, or for one that may hold partitions: a controller
        fences those that it has not heard of for some seconds.
    security : mapping, optional
        kafka-python's own options.
    exact : bool
        Whether ratings and requests must have that many partitions if they exist.
    journal_partitions : int, optional
        Partitions that the journal must have. By default a new one gets one. Their number is fixed for good:
        another one needs a new journal.
    tell : callable, optional
        Called with a line every few seconds while waiting.

    Returns
    -------
    list of TopicInfo
        One for each topic, in the order of `Topics.all`.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        A topic has too few partitions, the broker refused to create one, or the journal would lose what is
        written to it; says which and why.
    """
    until = time.monotonic() + wait_seconds
    with open_admin(bootstrap_servers, wait_seconds, security, tell) as admin:
        present = described(admin, topics.all)
        if exact:
            _require_at_least(topics, present, partitions)
        sizes = dict.fromkeys(topics.all, partitions) | {topics.journal: journal_partitions or 1}
        created = _create(admin, topics, present, sizes, replication, Patience(until, tell))
        found = described(admin, topics.all)
        actual = found[topics.journal].partitions
        if actual != (journal_partitions or actual):
            raise TopicsError(
                f"Topic {topics.journal!r} has {actual} partitions, expected {journal_partitions}: another "
                "number needs a new journal"
            )
        _require_multiple(topics, found)
        return _infos(admin, topics, found, created)


def check(
    bootstrap_servers: str,
    topics: Topics,
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
    *,
    unused: Collection[str] = (),
    tell: Tell | None = None,
) -> list[TopicInfo]:
    """Check the topics, but for those `unused`, and create none; else as `ensure`. Items may be missing.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        A topic is missing, numbers of partitions do not fit, or the journal would lose what is written to it.
    """
    with open_admin(bootstrap_servers, wait_seconds, security, tell) as admin:
        wanted = [name for name in topics.all if name not in unused]
        present = described(admin, wanted)
        missing = [name for name in wanted if name not in present and name != topics.items]
        if missing:
            raise TopicsError(
                f"Missing at {bootstrap_servers}: topic {', '.join(missing)}; "
                "`recommender topics` creates what is missing"
            )
        _require_multiple(topics, present)
        return _infos(admin, topics, present, created=set())


def _require_at_least(topics: Topics, present: Mapping[str, TopicInfo], partitions: int) -> None:
    """Refuse to say that topics have more partitions than they have; Kafka's own tools can add some."""
    for name in (topics.ratings, topics.requests):
        if name in present and present[name].partitions < partitions:
            raise TopicsError(
                f"Topic {name!r} has {present[name].partitions} partitions, expected {partitions}: add the "
                "others with Kafka's kafka-topics.sh --alter, also while workers run"
            )


def _require_multiple(topics: Topics, found: Mapping[str, TopicInfo]) -> None:
    """Make sure that each partition of the journal has its share of the requests' partitions."""
    journal, requests = found[topics.journal].partitions, found[topics.requests].partitions
    if requests % journal:
        raise TopicsError(
            f"Topic {topics.requests!r} has {requests} partitions and {topics.journal!r} has {journal}: "
            f"expected a multiple of {journal}"
        )


def _create(
    admin: KafkaAdminClient,
    topics: Topics,
    present: Mapping[str, TopicInfo],
    partitions: Mapping[str, int],
    replication: int,
    patience: Patience,
) -> set[str]:
    """Create what is missing; the names of those that were created here."""
    missing = [name for name in topics.all if name not in present]
    created: set[str] = set()

    def create(names: list[str], configs: Mapping[str, Configs]) -> None:
        wanted = {
            name: {
                "num_partitions": partitions[name],
                "replication_factor": replication,
                "configs": configs.get(name, {}),
            }
            for name in names
        }
        created.update(create_topics(admin, wanted, patience) if wanted else ())

    # Ratings come first: what a dead letter may weigh depends on what a rating may, and the journal must be
    # as safe as they are.
    create([name for name in missing if name == topics.ratings], {topics.ratings: FOR_RATINGS})
    ratings = read_configs(admin, [topics.ratings])[topics.ratings]
    rest = [name for name in missing if name != topics.ratings]
    create(
        rest,
        {
            topics.journal: for_journal(ratings),
            topics.dead_letters: for_dead_letters(ratings),
            topics.recommendations: FOR_RECOMMENDATIONS,
            topics.requests: FOR_REQUESTS,
            topics.items: FOR_ITEMS,
        },
    )
    return created


def _infos(
    admin: KafkaAdminClient, topics: Topics, found: Mapping[str, TopicInfo], created: set[str]
) -> list[TopicInfo]:
    read = [topics.ratings, topics.journal, topics.dead_letters, topics.requests]
    configs = read_configs(admin, [*read, *([topics.items] if topics.items in found else [])])
    faults = journal_faults(configs[topics.journal])
    if faults:
        raise TopicsError(f"Topic {topics.journal!r} would not keep the journal: {'; '.join(faults)}")
    warnings = {
        topics.journal: journal_warnings(configs[topics.journal], configs[topics.ratings]),
        topics.dead_letters: dead_letter_warnings(configs[topics.ratings], configs[topics.dead_letters]),
        topics.requests: request_warnings(configs[topics.requests]),
        topics.items: item_warnings(configs.get(topics.items, {})),
    }
    return [
        replace(
            found[name],
            created=name in created,
            warnings=tuple(warnings.get(name, ())),
            max_message_bytes=largest_batch(configs.get(name, {})),
        )
        for name in topics.all
        if name in found
    ]
