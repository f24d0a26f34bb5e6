"""The topics that the worker reads and writes: their names, creating them, and what must hold of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from recommender.kafka.admin import open_admin
from recommender.kafka.topic_configs import (
    FOR_RATINGS,
    FOR_RECOMMENDATIONS,
    Configs,
    for_dead_letters,
    for_journal,
    journal_faults,
    journal_warnings,
    largest_batch,
    log_warnings,
    read_configs,
    room_warnings,
)
from recommender.kafka.topic_names import Topics, TopicsError

__all__ = ["Finding", "Topics", "TopicsError", "check", "ensure", "identify"]

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """One topic as it is.

    Attributes
    ----------
    topic : str
    partitions : int
    topic_id : str
        Kafka's UUID of the topic; a topic that is deleted and created again gets another one.
    created : bool
        Whether it was created just now.
    warnings : tuple of str
        What a user should know before relying on it.
    max_message_bytes : int or None
        The largest batch of records that it takes, where that was read.
    """

    topic: str
    partitions: int
    topic_id: str
    created: bool = False
    warnings: tuple[str, ...] = ()
    max_message_bytes: int | None = None


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
) -> list[Finding]:
    """Create the topics that are missing, and check all of them.

    Parameters
    ----------
    bootstrap_servers : str
        Addresses HOST:PORT, separated by commas.
    topics : Topics
    partitions : int
        Partitions of new topics, as long as none exists: then new ones get as many as the old ones have.
    replication : int
    wait_seconds : float
        How long to wait for a broker that is not there yet.
    security : mapping, optional
        kafka-python's own options.
    exact : bool
        Whether existing topics must have `partitions` partitions, too.
    journal_partitions : int, optional
        Partitions that the journal must have. By default a new one gets one. Their number is fixed for good:
        another one needs a new journal.
    tell : callable, optional
        Called with a line every few seconds while waiting.

    Returns
    -------
    list of Finding
        One for each topic, in the order of `Topics.all`.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        Partition counts differ, the broker refused to create a topic, or the journal would lose what is
        written to it; says which and why.
    """
    with open_admin(bootstrap_servers, wait_seconds, security, tell) as admin:
        present = _describe(admin, topics.all)
        counts = [present[name].partitions for name in topics.partitioned_alike if name in present]
        if exact or not counts:
            counts = [partitions]
        _require_equal(topics, present, counts[0])
        sizes = dict.fromkeys(topics.all, counts[0]) | {topics.journal: journal_partitions or 1}
        created = _create(admin, topics, present, sizes, replication)
        found = _describe(admin, topics.all)
        # Somebody else may have created one between the two looks.
        _require_equal(topics, found, counts[0])
        actual = found[topics.journal].partitions
        if actual != (journal_partitions or actual):
            raise TopicsError(
                f"Topic {topics.journal!r} has {actual} partitions, expected {journal_partitions}: another "
                "number needs a new journal"
            )
        return _findings(admin, topics, found, created)


def check(
    bootstrap_servers: str,
    topics: Topics,
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
    *,
    unused: Collection[str] = (),
    tell: Tell | None = None,
) -> list[Finding]:
    """Check the topics, but for those `unused`, and create none; else as `ensure`.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        A topic is missing, partition counts differ, or the journal would lose what is written to it.
    """
    with open_admin(bootstrap_servers, wait_seconds, security, tell) as admin:
        wanted = [name for name in topics.all if name not in unused]
        present = _describe(admin, wanted)
        missing = [name for name in wanted if name not in present]
        if missing:
            raise TopicsError(
                f"Missing at {bootstrap_servers}: topic {', '.join(missing)}; "
                "`recommender topics` creates what is missing"
            )
        _require_equal(topics, present, present[topics.ratings].partitions)
        return _findings(admin, topics, present, created=set())


def identify(
    bootstrap_servers: str,
    topic: str,
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
) -> Finding:
    """A topic's id and number of partitions: what tells a topic from one created again under its name.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        There is no such topic.
    """
    with open_admin(bootstrap_servers, wait_seconds, security) as admin:
        found = _describe(admin, [topic])
    if topic not in found:
        raise TopicsError(f"Missing at {bootstrap_servers}: topic {topic}")
    return found[topic]


def _describe(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, Finding]:
    """The topics that exist."""
    found = {}
    try:
        described = admin.describe_topics(list(names))
    except KafkaError as error:
        raise TopicsError(f"The broker could not describe the topics: {error}") from error
    for each in described:
        error_type = for_code(each["error_code"])
        if error_type is UnknownTopicOrPartitionError:
            continue
        if each["error_code"]:
            raise TopicsError(f"The broker does not show topic {each['name']}: {_reason(error_type, None)}")
        found[each["name"]] = Finding(each["name"], len(each["partitions"]), str(each["topic_id"]))
    return found


def _require_equal(topics: Topics, present: Mapping[str, Finding], expected: int) -> None:
    actual = {name: present[name].partitions for name in topics.partitioned_alike if name in present}
    if any(count != expected for count in actual.values()):
        counts = ", ".join(f"{name} has {count}" for name, count in actual.items())
        raise TopicsError(
            f"Ratings, requests, dead letters and the recommendations log must have equal numbers of "
            f"partitions: expected {expected}, but {counts}"
        )


def _create(
    admin: KafkaAdminClient,
    topics: Topics,
    present: Mapping[str, Finding],
    partitions: Mapping[str, int],
    replication: int,
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
        created.update(_request(admin, wanted) if wanted else ())

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
        },
    )
    return created


def _request(admin: KafkaAdminClient, wanted: dict[str, dict[str, Any]]) -> set[str]:
    try:
        response = admin.create_topics(wanted, raise_errors=False)
        created = set()
        for each in response["topics"]:
            error_type = for_code(each["error_code"])
            if each["error_code"] == 0:
                created.add(each["name"])
            elif error_type is not TopicAlreadyExistsError:  # else another worker was faster
                reason = _reason(error_type, each.get("error_message"))
                raise TopicsError(f"The broker did not create topic {each['name']}: {reason}")
        admin.wait_for_topics(list(wanted), timeout_ms=30_000)
    except KafkaError as error:
        raise TopicsError(f"The broker did not create topic {', '.join(wanted)}: {error}") from error
    return created


def _reason(error_type: type[KafkaError], message: str | None) -> str:
    return (message or str(getattr(error_type, "description", "")) or error_type.__name__).rstrip(".")


def _findings(
    admin: KafkaAdminClient, topics: Topics, found: Mapping[str, Finding], created: set[str]
) -> list[Finding]:
    configs = read_configs(admin, [topics.ratings, topics.journal, topics.dead_letters])
    faults = journal_faults(configs[topics.journal])
    if faults:
        raise TopicsError(f"Topic {topics.journal!r} would not keep the journal: {'; '.join(faults)}")
    warnings = {
        topics.ratings: log_warnings(configs[topics.ratings]),
        topics.journal: journal_warnings(configs[topics.journal], configs[topics.ratings]),
        topics.dead_letters: room_warnings(configs[topics.ratings], configs[topics.dead_letters]),
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
