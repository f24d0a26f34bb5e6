"""Checks that the worker may use its topics: at the start, not in the middle of a record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from recommender.kafka.topics import TopicInfo, Topics, TopicsError

READ, WRITE = "READ", "WRITE"


def needed(topics: Topics, *, logs: bool, follows_log: bool = False) -> Mapping[str, Sequence[str]]:
    """The operations that the worker needs on each topic, however seldom.

    Parameters
    ----------
    topics : Topics
    logs : bool
        Whether it logs what it recommends.
    follows_log : bool
        Whether it cannot do without reading that log.
    """
    found = {
        topics.ratings: [READ],
        topics.journal: [READ, WRITE],
        topics.requests: [READ, WRITE],
        topics.responses: [WRITE],
        topics.dead_letters: [WRITE],
        topics.items: [READ],
    }
    if logs:
        found[topics.recommendations] = [READ, WRITE] if follows_log else [WRITE]
    return found


def allows(topic: TopicInfo, operation: str) -> bool:
    """Return True if an operation on a topic is allowed, or the broker does not tell."""
    return not topic.allowed or operation in topic.allowed


def require(found: Iterable[TopicInfo], wanted: Mapping[str, Sequence[str]], bootstrap_servers: str) -> None:
    """Check that what is wanted is allowed.

    Raises
    ------
    TopicsError
        It is not; says what is missing, and where.
    """
    missing: dict[str, list[str]] = {}
    for each in found:
        # A client that sees a topic may do something with it: else the broker does not tell.
        for operation in wanted.get(each.topic, ()) if each.allowed else ():
            if operation not in each.allowed:
                missing.setdefault(operation, []).append(each.topic)
    if missing:
        told = " and ".join(
            f"{operation} on topic {', '.join(names)}" for operation, names in missing.items()
        )
        raise TopicsError(
            f"Not allowed at {bootstrap_servers}: {told}; the worker's user needs an ACL for each of them"
        )
