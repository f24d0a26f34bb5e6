"""Ratings and requests at a steady rate, and a record of everything that was sent."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from recommender.kafka.topics import Topics
from recommender.messages.partitioning import partition_of

#: Records are handed over in steps of so many seconds.
STEP = 0.05
#: librdkafka's default is another hash than Kafka's own.
PRODUCER = {
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    # A partition that was made just now may refuse the first batch and take the second. The first is sent
    # again, and Kafka calls it a duplicate, for it came after a later one: librdkafka believes it written.
    "max.in.flight.requests.per.connection": 1,
    "delivery.timeout.ms": 600_000,
    "reconnect.backoff.max.ms": 500,
    "linger.ms": 5,
    # So that partitions that were added are found.
    "topic.metadata.refresh.interval.ms": 2000,
    "log_level": 0,
}
USERS = 300
ITEMS = 400
CORRELATION = "kafka_correlationId"


@dataclass
class Sent:
    """What the broker has taken.

    Attributes
    ----------
    standing : dict of (str, str) to float or None
        By user and item, the newest rating; None is a withdrawal.
    ratings : int
        Good ones, re-ratings and withdrawals included.
    bad : set of (int, int)
        Partition and offset of what is no rating.
    requests : dict of bytes to float
        When each was sent, in seconds since 1970, by correlation id.
    refused : list of str
        Records that Kafka did not take in ten minutes.
    """

    standing: dict[tuple[str, str], float | None] = field(default_factory=dict)
    ratings: int = 0
    bad: set[tuple[int, int]] = field(default_factory=set)
    requests: dict[bytes, float] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)


class Traffic:
    """Two threads that send ratings and requests until they are stopped.

    Users are of two kinds. The ratings of ``u...`` are on one partition each, so they stay in order: they are
    changed and withdrawn too. Those of ``loose...`` have no key, or another, so their order may change on the
    way: a user and an item of theirs always have the same rating. Partitions may be added meanwhile.

    Parameters
    ----------
    kafka : str
        Bootstrap servers.
    topics : Topics
    partitions : int
    seed : int
    ratings, requests : float
        How many a second.
    loose_items : int
        How many items the ``loose...`` users go through before they begin anew.
    """

    def __init__(
        self,
        kafka: str,
        topics: Topics,
        partitions: int,
        seed: int,
        ratings: float,
        requests: float,
        loose_items: int = 1_000_000,
    ) -> None:
        self.sent = Sent()
        self._kafka = kafka
        self._topics = topics
        self._partitions = partitions
        self._loose_items = loose_items
        self._stopping = threading.Event()
        #: Where each user's newest rating is.
        self._written: dict[str, tuple[int, int]] = {}
        self._numbers = itertools.count()
        self._threads = [
            threading.Thread(
                target=self._run, args=(make, random.Random(f"{seed} {rate}"), rate), daemon=True
            )
            for make, rate in ((self._rating, ratings), (self._request, requests))
        ]

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def stop(self) -> Sent:
        """End when the broker has taken everything; what was sent."""
        self._stopping.set()
        for each in self._threads:
            each.join()
        return self.sent

    def _run(self, make: Callable[[Producer, random.Random], None], draw: random.Random, rate: float) -> None:
        producer = Producer({"bootstrap.servers": self._kafka, **PRODUCER})
        started, count = time.monotonic(), 0
        while not self._stopping.wait(STEP):
            due = int((time.monotonic() - started) * rate)
            # What a broken broker held up is not sent all at once.
            count = max(count, due - int(rate))
            for _ in range(due - count):
                make(producer, draw)
            count = due
            producer.poll(0)
        while producer.flush(10.0):
            pass

    def _rating(self, producer: Producer, draw: random.Random) -> None:
        kind = draw.random()
        if kind < 0.01:
            self._send_bad(producer, draw)
        elif kind < 0.2:
            who, what = draw.randrange(USERS), next(self._numbers) % self._loose_items
            key = draw.choice([None, b"somebody else"])
            self._send_rating(producer, key, f"loose{who}", f"only{what}", (who + what) % 5 + 1)
        else:
            user, item = f"u{draw.randrange(USERS)}", f"i{min(int(draw.expovariate(4 / ITEMS)), ITEMS - 1)}"
            withdraws = draw.random() < 0.1 and (user, item) in self.sent.standing
            self._send_rating(producer, user.encode(), user, item, None if withdraws else draw.randint(1, 5))

    def _send_rating(
        self, producer: Producer, key: bytes | None, user: str, item: str, rating: int | None
    ) -> None:
        self.sent.standing[user, item] = rating
        self.sent.ratings += 1
        body = {"user": user, "item": item, "rating": rating, "timestamp": int(time.time())}

        def arrived(error: Any, message: Any) -> None:
            if error is not None:
                self.sent.refused.append(f"rating of {user}: {error}")
                return
            self._written[user] = message.partition(), message.offset()

        where = (
            {} if key is None or key != user.encode() else {"partition": partition_of(user, self._partitions)}
        )
        producer.produce(self._topics.ratings, json.dumps(body).encode(), key, on_delivery=arrived, **where)

    def _send_bad(self, producer: Producer, draw: random.Random) -> None:
        def arrived(error: Any, message: Any) -> None:
            if error is not None:
                self.sent.refused.append(f"bad rating: {error}")
            else:
                self.sent.bad.add((message.partition(), message.offset()))

        value = draw.choice([b"", b"{", b'{"user": 1, "item": 2, "rating": 99}', b"\xff\xfe"])
        producer.produce(self._topics.ratings, value, b"%d" % draw.randrange(1000), on_delivery=arrived)

    def _request(self, producer: Producer, draw: random.Random) -> None:
        user = f"u{draw.randrange(USERS + 10)}"
        body: dict[str, Any] = {"user": user, "n": draw.choice([0, 1, 5, 10, 10, 10])}
        written = self._written.get(user)
        if written is not None and draw.random() < 0.2:
            body["after"] = {"partition": written[0], "offset": written[1]}
        elif draw.random() < 0.1:
            body["after"] = {"journal": 0}
        key = draw.choice([user, f"u{draw.randrange(USERS)}", None])
        correlation = b"%d" % next(self._numbers)

        def arrived(error: Any, message: Any) -> None:
            if error is not None:
                self.sent.refused.append(f"request of {user}: {error}")

        self.sent.requests[correlation] = time.time()
        headers = [(CORRELATION, correlation)]
        value = json.dumps(body).encode()
        producer.produce(self._topics.requests, value, key, headers=headers, on_delivery=arrived)
