"""The rule of a journal as it is in Kafka, for the settings that ratings are decoded with."""

from __future__ import annotations

from recommender.journal.fingerprint import fingerprint
from recommender.journal.identity import topic_id
from recommender.journal.rule import Rule
from recommender.kafka.topics import TopicInfo
from recommender.shard.options import ShardOptions


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
