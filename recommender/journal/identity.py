"""The identity of the journal: a topic that is created again under its name is another journal.

Here a topic as Kafka knows it becomes the rule of a journal's partition.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

from recommender.journal.errors import JournalReplaced
from recommender.journal.fingerprint import fingerprint
from recommender.journal.rule import UNKNOWN, Rule
from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import TopicInfo, TopicsError
from recommender.shard.options import ShardOptions

logger = logging.getLogger(__name__)


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


class IdentityWatch:
    """Looks now and then whether the journal is still the one that was followed.

    Parameters
    ----------
    rule : function
        The rule as it is now.
    identify : function
        The journal's topic as it is now, see `recommender.kafka.topics.identify`; called in a thread.
    seconds : float
        How often.
    """

    def __init__(self, rule: Callable[[], Rule], identify: Callable[[], TopicInfo], seconds: float) -> None:
        self._rule, self._identify, self._seconds = rule, identify, seconds
        self._is_known = False

    async def check(self) -> None:
        """Make sure that it is.

        Raises
        ------
        JournalReplaced
            It is not.
        TopicsError
            There is no journal, and there was none before.
        BrokerUnreachableError
            There is none now.
        """
        try:
            found = await asyncio.to_thread(self._identify)
        except TopicsError as error:
            if not self._is_known:
                raise
            raise BrokerUnreachableError(str(error)) from None  # or it will be there in a moment
        check_identity(self._rule(), found)
        self._is_known = True

    async def run(self) -> None:
        """Check until it is another one, and raise as `check` does."""
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self.check()
            except BrokerUnreachableError as error:
                logger.debug("%s: %s", self._rule().journal, error)


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
