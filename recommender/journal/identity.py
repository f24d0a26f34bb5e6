"""The identity of the journal: a topic that is created again under its name is another journal.

Here a topic as Kafka knows it becomes the rule of a journal's partition.
"""

from __future__ import annotations

import uuid

from recommender.journal.errors import JournalReplaced
from recommender.journal.fingerprint import fingerprint
from recommender.journal.rule import UNKNOWN, Rule
from recommender.kafka.topics import TopicInfo
from recommender.shard.options import ShardOptions


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


def rule_of(topic: TopicInfo, partition: int, options: ShardOptions) -> Rule:
    """The rule of a partition of the journal that has followed nothing yet.

    Parameters
    ----------
    topic : TopicInfo
        The journal.
    partition : int
    options : ShardOptions
    """
    feedback = options.feedback
    decoder = fingerprint(feedback.low, feedback.high, skips=feedback.skips)
    return Rule(topic.topic, partition, topic.partitions, topic_id(topic), [decoder])
