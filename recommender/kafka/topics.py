"""The topics that the worker reads and writes: their names, creating them, and what must hold of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from recommender.errors import RecommenderError
from recommender.kafka.admin import open_admin
from recommender.kafka.topic_configs import (
    FOR_RATINGS,
    FOR_RECOMMENDATIONS,
    Configs,
    dead_letter_warnings,
    for_dead_letters,
    largest_batch,
    log_warnings,
    read_configs,
)

Tell = Callable[[str], None]


class TopicsError(RecommenderError):
    """A topic is missing, cannot be created, or has another number of partitions than its partners."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics.

    Attributes
    ----------
    prefix : str
        Put in front of each name, so that several installations can share one Kafka.
    """

    prefix: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9._-]{0,200}", self.prefix):
            raise TopicsError(
                f"The topic prefix has value {self.prefix!r}: expected letters, digits, '.', '_' and '-', "
                "at most 200"
            )

    @property
    def ratings(self) -> str:
        """Ratings, keyed by user: the log that is learned."""
        return self.prefix + "ratings"

    @property
    def requests(self) -> str:
        """Requests for recommendations, keyed by user."""
        return self.prefix + "recommendation-requests"

    @property
    def responses(self) -> str:
        """Replies to requests that name no reply topic of their own."""
        return self.prefix + "recommendation-responses"

    @property
    def dead_letters(self) -> str:
        """Ratings that could not be understood, as they came."""
        return self.prefix + "ratings-dlt"

    @property
    def recommendations(self) -> str:
        """What was recommended to whom, keyed by user: see `recommender.messages.recommendations_log`."""
        return self.prefix + "recommendations-log"

    @property
    def partitioned_alike(self) -> tuple[str, ...]:
        """Those whose partitions of one number belong together."""
        return self.ratings, self.requests, self.dead_letters, self.recommendations

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic, ratings first."""
        return self.ratings, self.requests, self.responses, self.dead_letters, self.recommendations


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
    allowed : tuple of str
        What this client may do with it, in Kafka's words; empty where the broker does not tell.
    """

    topic: str
    partitions: int
    topic_id: str
    created: bool = False
    warnings: tuple[str, ...] = ()
    max_message_bytes: int | None = None
    allowed: tuple[str, ...] = ()


def ensure(
    bootstrap_servers: str,
    topics: Topics,
    partitions: int = 1,
    replication: int = 1,
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
    *,
    exact: bool = False,
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
        Partition counts differ, or the broker refused to create a topic; says which and why.
    """
    with open_admin(bootstrap_servers, wait_seconds, security, tell) as admin:
        present = _describe(admin, topics.all)
        counts = [present[name].partitions for name in topics.partitioned_alike if name in present]
        if exact or not counts:
            counts = [partitions]
        _require_equal(topics, present, counts[0])
        created = _create(admin, topics, present, counts[0], replication)
        found = _describe(admin, topics.all)
        # Somebody else may have created one between the two looks.
        _require_equal(topics, found, counts[0])
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
        A topic is missing or partition counts differ.
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
        allowed = tuple(each.get("authorized_operations") or ())
        found[each["name"]] = Finding(
            each["name"], len(each["partitions"]), str(each["topic_id"]), allowed=allowed
        )
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
    admin: KafkaAdminClient, topics: Topics, present: Mapping[str, Finding], partitions: int, replication: int
) -> set[str]:
    """Create what is missing; the names of those that were created here."""
    missing = [name for name in topics.all if name not in present]
    created: set[str] = set()

    def create(names: list[str], configs: Mapping[str, Configs]) -> None:
        size = {"num_partitions": partitions, "replication_factor": replication}
        wanted = {name: size | {"configs": configs.get(name, {})} for name in names}
        created.update(_request(admin, wanted) if wanted else ())

    # Ratings come first: what a dead letter may weigh depends on what a rating may.
    create([name for name in missing if name == topics.ratings], {topics.ratings: FOR_RATINGS})
    ratings = read_configs(admin, [topics.ratings])[topics.ratings]
    rest = [name for name in missing if name != topics.ratings]
    create(
        rest, {topics.dead_letters: for_dead_letters(ratings), topics.recommendations: FOR_RECOMMENDATIONS}
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
    configs = read_configs(admin, [topics.ratings, topics.dead_letters])
    warnings = {
        topics.ratings: log_warnings(configs[topics.ratings]),
        topics.dead_letters: dead_letter_warnings(configs[topics.ratings], configs[topics.dead_letters]),
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
