"""Leaves out what a user was shown before: follows the recommendations log, from some hours back on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from recommender.experiments.log_writer import request_name
from recommender.items.shown import MAX_PLACES, ShownList, ShownStore
from recommender.kafka.topics import TopicInfo
from recommender.messages import recommendations_log
from recommender.messages.requests import Request
from recommender.messages.responses import Failure
from recommender.shard.hiding import Hidden
from recommender.worker.topic_following import TopicFollowing

HOUR = 3600.0


class ShownFollowing(TopicFollowing):
    """Keeps a store of what was shown in the last hours, by the recommendations log.

    Parameters
    ----------
    store : ShownStore
    hours : float
    topic, options, identify, counted
        As `TopicFollowing` has them.
    """

    def __init__(
        self,
        store: ShownStore,
        hours: float,
        topic: str,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__(topic, options, identify, counted)
        self._store, self._hours = store, hours

    def take(self, records: Sequence[Any]) -> int:
        """Take over lists, all at once."""
        lists: list[ShownList] = []

        def take(record: Any) -> None:
            entry = recommendations_log.decode(record.value)
            items = [each.item for each in entry.items]
            lists.append(ShownList(entry.user, entry.request, entry.timestamp, items))

        taken = self.take_each(records, take)
        self._store.put(lists)
        return taken

    async def begins(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The place from which what was shown counts; not further back than there is room."""
        since = int((time.time() - self._hours * HOUR) * 1000)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, since))
        ends = await consumer.end_offsets(list(partitions))
        most = MAX_PLACES // len(partitions)
        return {
            tp: max(ends[tp] if (at := found[tp]) is None else at.offset, ends[tp] - most)
            for tp in partitions
        }

    def size(self) -> str:
        """The number of places and users, in words."""
        return f"{len(self._store)} places of lists of {self._store.users} users"

    def status(self) -> dict[str, Any]:
        """The part of the status page about it."""
        return {**super().status(), "places": len(self._store), "users": self._store.users}


class NotAgain:
    """Says what is left out of a user's list.

    Parameters
    ----------
    store : ShownStore
    times : int
        Where a request does not say so itself: after how many times; 0 for never.
    hours : float
        The same: what was shown in this many hours counts. A request may ask for no more.
    lacks : str
        In words, why nothing is known of what was shown; empty if it is.
    """

    def __init__(self, store: ShownStore, times: int, hours: float, lacks: str) -> None:
        self._store, self._times, self._hours, self._lacks = store, times, hours, lacks

    def hidden(self, request: Request, identity: bytes) -> Hidden | None:
        """The items that the user of a request was shown before, if they are to be left out.

        Raises
        ------
        Failure
            It is not known what was shown, or not for that many hours.
        """
        times = self._times if request.hide_seen is None else request.hide_seen
        hours = self._hours if request.hide_seen_for is None else request.hide_seen_for
        if request.user is None or not times:
            if request.hide_seen_for is not None and request.hide_seen is None:
                raise Failure("bad_request", "`hide_seen_for` goes with `hide_seen`, which is not given")
            return None
        if self._lacks:
            raise Failure("bad_request", f"`hide_seen` is asked for, but {self._lacks}")
        if hours > self._hours:
            raise Failure(
                "bad_request",
                f"`hide_seen_for` is {hours:g} h, but RECOMMENDER_HIDE_SEEN_FOR is {self._hours:g}: expected "
                "at most that",
            )
        since = time.time() - hours * HOUR
        items = self._store.shown(str(request.user), times, since, request_name(identity))
        often = "" if times == 1 else f" {times} times"
        return Hidden(items, f"were shown{often} in the last {hours:g} h") if items else None
