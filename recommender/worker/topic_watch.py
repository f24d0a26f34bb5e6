"""Notices that the ratings topic was created again, or got more partitions, under a running worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import TopicInfo, TopicsError

logger = logging.getLogger(__name__)


class TopicWatch:
    """Compares a topic with what it was when the worker started.

    To a consumer a topic that was deleted and made again is the same topic: it would continue at the old
    offset, in the middle of other ratings.

    Parameters
    ----------
    found : TopicInfo
        The topic at the start.
    identify : function
        The topic now, as `recommender.kafka.topics.identify` has it; called in a thread.
    """

    def __init__(self, found: TopicInfo, identify: Callable[[], TopicInfo]) -> None:
        self._found = found
        self._identify = identify
        self._missing = False

    @property
    def topic(self) -> str:
        """The name of the topic."""
        return self._found.topic

    @property
    def partitions(self) -> int:
        """The number of the topic's partitions when it was last checked."""
        return self._found.partitions

    async def check(self) -> None:
        """Look once; says once that the topic is missing, and once that it is back.

        Raises
        ------
        TopicsError
            It is another topic now.
        """
        name = self._found.topic
        try:
            now = await asyncio.to_thread(self._identify)
        except BrokerUnreachableError:
            return  # `recommender.worker.broker_watch` says so
        except TopicsError as error:
            if not self._missing:
                logger.error("%s; learning continues when it is back", error)
            self._missing = True
            return
        if now.topic_id != self._found.topic_id:
            raise TopicsError(
                f"Topic {name!r} was deleted and created again under this worker: start it again, and it "
                "learns what the new one has as well"
            )
        if now.partitions > self._found.partitions:
            logger.info("topic %r has %d partitions now", name, now.partitions)
        self._found = now
        if self._missing:
            logger.warning("topic %r is there again", name)
        self._missing = False
