"""Topics as they are: how many partitions they have, their ids, and what this client may do with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from recommender.kafka.admin import open_admin
from recommender.kafka.topic_creation import reason_of
from recommender.kafka.topic_names import TopicsError


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as it is.

    Attributes
    ----------
    topic : str
        Its name.
    partitions : int
        Their number.
    topic_id : str
        Kafka's UUID of the topic; a topic that is deleted and created again gets another one.
    created : bool
        True if it was created just now.
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


def identify(
    bootstrap_servers: str,
    topic: str,
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
) -> TopicInfo:
    """A topic's id and number of partitions: what tells a topic from one created again under its name.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        There is no such topic.
    """
    with open_admin(bootstrap_servers, wait_seconds, security) as admin:
        found = described(admin, [topic])
    if topic not in found:
        raise TopicsError(f"Missing at {bootstrap_servers}: topic {topic}")
    return found[topic]


def describe(
    bootstrap_servers: str,
    names: Collection[str],
    wait_seconds: float = 60.0,
    security: Mapping[str, Any] | None = None,
) -> dict[str, TopicInfo]:
    """The topics of these names that exist, with what this client may do with them.

    Raises
    ------
    BrokerUnreachableError
        No broker answered in time.
    TopicsError
        The broker does not show one of them.
    """
    with open_admin(bootstrap_servers, wait_seconds, security) as admin:
        return described(admin, names)


def described(admin: KafkaAdminClient, names: Iterable[str]) -> dict[str, TopicInfo]:
    """The topics that exist."""
    found = {}
    try:
        answers = admin.describe_topics(list(names))
    except KafkaError as error:
        raise TopicsError(f"The broker could not describe the topics: {error}") from error
    for each in answers:
        error_type = for_code(each["error_code"])
        if error_type is UnknownTopicOrPartitionError:
            continue
        if error_type is TopicAuthorizationFailedError:
            raise TopicsError(f"The broker does not show topic {each['name']}: this user needs an ACL for it")
        if each["error_code"]:
            raise TopicsError(f"The broker does not show topic {each['name']}: {reason_of(error_type, None)}")
        allowed = tuple(each.get("authorized_operations") or ())
        found[each["name"]] = TopicInfo(
            each["name"], len(each["partitions"]), str(each["topic_id"]), allowed=allowed
        )
    return found
