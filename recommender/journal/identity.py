"""The identity of the journal: a topic that is created again under its name is another journal."""

from __future__ import annotations

import uuid

from recommender.journal.errors import JournalReplaced
from recommender.journal.rule import UNKNOWN, Rule
from recommender.kafka.topics import TopicInfo


def topic_id(found: TopicInfo) -> bytes:
    """Kafka's id of a topic in 16 bytes, as blocks and rules have it."""
    return uuid.UUID(found.topic_id).bytes


def check_identity(rule: Rule, found: TopicInfo) -> None:
    """Make sure that a topic is the journal that a rule has followed; from now on it is.

    Raises
    ------
    JournalReplaced
        It is another topic, or has another number of partitions.
    """
    if found.partitions != rule.partitions:
        raise JournalReplaced(
            f"Topic {rule.journal!r} has {found.partitions} partitions, expected {rule.partitions}: where a "
            "user's ratings are depends on it, so another number needs a new journal"
        )
    if rule.journal_id not in (UNKNOWN, topic_id(found)):
        raise JournalReplaced(
            f"Topic {rule.journal!r} was deleted and created again: its id is {found.topic_id}, that of the "
            f"topic that was followed is {uuid.UUID(bytes=rule.journal_id)}"
        )
    rule.journal_id = topic_id(found)
