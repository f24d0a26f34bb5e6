"""Gets replies to whoever asked, or says why it cannot."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from recommender.messages.records import Outgoing, Record
from recommender.messages.request_headers import place, reply_to
from recommender.messages.responses import Failure
from recommender.worker.reply_topics import ReplyTopics, reason

logger = logging.getLogger(__name__)

#: A record that Kafka did not take, because it was away, is sent again after so long.
RETRY_SECONDS = 1.0

Send = Callable[[str, Outgoing], Awaitable[asyncio.Future[Any]]]


class Delivery:
    """Sends replies, and requests that another partition has to answer.

    Parameters
    ----------
    send : Send
        Sends a record to a topic.
    requests_topic, responses_topic : str
    reply_topics : iterable of str
        Patterns of the topics that a request may name.
    """

    def __init__(
        self, send: Send, requests_topic: str, responses_topic: str, reply_topics: Iterable[str]
    ) -> None:
        self._send = send
        self._requests_topic = requests_topic
        self._responses_topic = responses_topic
        self.reply_topics = ReplyTopics([responses_topic, *reply_topics])

    async def reply(self, record: Record, topic: str, value: bytes, failure: Failure | None) -> str:
        """Send a reply; the code of what was sent in the end."""
        code = "ok" if failure is None else failure.code
        try:
            self.reply_topics.check(topic)
            await self._until_taken(topic, reply_to(record, value, failure))
            self.reply_topics.found(topic)
        except Exception as error:
            what = reason(error)
            if self.reply_topics.failed(topic, error):
                logger.warning("%s[%d] offset %d: no reply to %s: %s", *place(record), topic, what)
            if topic == self._responses_topic:
                missed = Failure("reply_not_accepted", f"Kafka does not take the reply: {what}")
            else:
                missed = Failure("reply_topic_unavailable", f"cannot reply to topic {topic!r}: {what}")
            await self._until_taken(self._responses_topic, reply_to(record, missed.encode(), missed))
            code = missed.code
        return code

    async def request(self, outgoing: Outgoing) -> None:
        """Send a request on.

        Raises
        ------
        Exception
            It failed in a way that does not pass.
        """
        await self._until_taken(self._requests_topic, outgoing)

    async def _until_taken(self, topic: str, outgoing: Outgoing) -> None:
        """Send a record until Kafka has it; to a topic that a request named, once.

        Raises
        ------
        Exception
            It was sent once and failed, or it failed in a way that does not pass.
        """
        ours = topic in (self._responses_topic, self._requests_topic)
        while True:
            try:
                await (await self._send(topic, outgoing))
                return
            except Exception as error:
                if not (ours and getattr(error, "retriable", False)):
                    raise
            await asyncio.sleep(RETRY_SECONDS)
