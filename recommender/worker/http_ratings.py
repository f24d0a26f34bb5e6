"""Writes ratings that come over HTTP to the ratings topic, and says where they are."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

import msgspec

from recommender.kafka.refusals import passes
from recommender.messages.nesting import json_is_too_deep
from recommender.messages.ratings import TOO_DEEP, BadMessage, Forget, RatingDecoder
from recommender.messages.records import Outgoing, Send
from recommender.messages.refusals import refused
from recommender.messages.responses import Failure
from recommender.web.limits import MAX_RATINGS

#: How long Kafka may take to confirm the ratings of a call, in seconds.
CONFIRM_SECONDS = 10.0
#: Ratings that wait for Kafka at once; more are refused, since a broker that is away takes none for long.
MAX_UNCONFIRMED = 10_000


class Written(NamedTuple):
    """The place of a rating in the ratings topic."""

    partition: int
    offset: int


class RatingWriter:
    """Checks ratings as the topic's readers do, and writes them.

    Parameters
    ----------
    send : Send
    topic : str
    decoder : RatingDecoder
    confirm_seconds : float
        How long Kafka may take.
    most : int
        Ratings that wait for Kafka at once.
    """

    def __init__(
        self,
        send: Send,
        topic: str,
        decoder: RatingDecoder,
        confirm_seconds: float = CONFIRM_SECONDS,
        *,
        most: int = MAX_UNCONFIRMED,
    ) -> None:
        self._send, self._topic, self._decoder = send, topic, decoder
        self._confirm_seconds = confirm_seconds
        self._unconfirmed, self._most = 0, most
        #: Writes that Kafka has not confirmed.
        self.sending: set[asyncio.Task[Any]] = set()

    async def write(self, value: bytes) -> list[Written]:
        """Write a rating, or a list of them of which none is wrong, and wait for Kafka.

        Raises
        ------
        BadMessage
            One is no rating, so none is written; the text names it by its place.
        Failure
            Kafka did not take one, or has not confirmed all in time.
        """
        records = [self._record(raw, place) for raw, place in _parted(value)]
        if self._unconfirmed + len(records) > self._most:
            raise Failure(
                "busy", f"{self._unconfirmed} ratings wait for Kafka already, try again", retriable=True
            )
        self._unconfirmed += len(records)
        task = asyncio.create_task(self._deliver(records))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)
        # What is on its way stays on its way, whatever becomes of the caller.
        await asyncio.wait([task], timeout=self._confirm_seconds)
        if not task.done():
            raise Failure(
                "unconfirmed",
                f"Kafka did not confirm within {self._confirm_seconds:g} s: the ratings may still be written",
                retriable=True,
            )
        try:
            return task.result()
        except Exception as error:
            text = f"Kafka did not take the ratings: {error or type(error).__name__}"
            raise Failure("rating_not_accepted", text, retriable=passes(error)) from error

    def _record(self, raw: bytes, place: str) -> Outgoing:
        try:
            event = self._decoder.decode_event(raw)
        except BadMessage as error:
            raise BadMessage(f"{error} - in {place}" if place else str(error), error.kind) from None
        key = event.item if isinstance(event, Forget) and event.user is None else event.user
        assert key is not None
        return Outgoing(None, key.encode(), raw, int(time.time() * 1000), [])

    async def _deliver(self, records: list[Outgoing]) -> list[Written]:
        try:
            sent = [await self._send(self._topic, each) for each in records]
            found: list[Any] = await asyncio.gather(*sent, return_exceptions=True)
        finally:
            self._unconfirmed -= len(records)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [Written(each.partition, each.offset) for each in found]


def _parted(value: bytes) -> list[tuple[bytes, str]]:
    """Each rating's own bytes, and where in the body it is."""
    if not value.lstrip().startswith(b"["):
        return [(value, "")]
    if json_is_too_deep(value):
        raise BadMessage(TOO_DEEP)
    try:
        parts = msgspec.json.decode(value, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(error, value, ()) from None
    if not 1 <= len(parts) <= MAX_RATINGS:
        raise BadMessage(f"the list has {len(parts)} ratings: expected 1 to {MAX_RATINGS}")
    return [(bytes(part), f"$[{place}]") for place, part in enumerate(parts)]
