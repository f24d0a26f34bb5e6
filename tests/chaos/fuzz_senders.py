"""Those who write records of all kinds: producers with each codec, with transactions, and batches by hand."""

from __future__ import annotations

import hashlib
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Producer

from tests.chaos.fuzz_records import LARGEST, Nature, Wild
from tests.integration.raw_records import produce_batch
from tests.support.record_batches import CODECS, RawRecord, batch
from tests.support.workers import PATIENCE

SETTINGS = {
    "linger.ms": 5,
    # Larger values than the topic takes fit into their codec.
    "message.max.bytes": 4_000_000,
    "batch.size": 900_000,
    "queue.buffering.max.kbytes": 100_000,
    "transaction.timeout.ms": 600_000,
    "log_level": 0,
}
#: Shares of the run between which one transaction is open, and whether it is committed.
LONG = ((0.2, 0.45, True), (0.5, 0.75, False))
BURST, TRANSACTION, BATCH = 250, 80, 20
BATCH_BYTES = 900_000
#: While it is open, so many others are written for each of a long transaction.
LONG_STEP = 40


@dataclass(frozen=True, slots=True)
class Fate:
    """What must become of a record that was written.

    Attributes
    ----------
    kind : str
    rating : (str, str, float) or None
        None is a dead letter.
    time : float
    value, key : bytes
        Hashes.
    """

    kind: str
    rating: tuple[str, str, float] | None
    time: float
    value: bytes
    key: bytes

    @classmethod
    def of(cls, wild: Wild) -> Fate:
        """Note what counts of a record."""
        return cls(wild.kind, wild.rating, wild.time, digest(wild.value), digest(wild.key))


def digest(content: bytes | None) -> bytes:
    """A hash of bytes, or of none."""
    return b"none" if content is None else hashlib.sha256(content).hexdigest().encode()


@dataclass
class Written:
    """What the topic has taken.

    Attributes
    ----------
    fates : dict of (int, int) to Fate
        By partition and offset; without those that were taken back.
    aborted : set of (int, int)
    refused : list of str
        What Kafka did not take: there must be none.
    ways : Counter
        How many were written in which way.
    """

    fates: dict[tuple[int, int], Fate] = field(default_factory=dict)
    aborted: set[tuple[int, int]] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    ways: Counter[str] = field(default_factory=Counter)


class Senders:
    """Writes records to a topic in all ways by turns.

    Parameters
    ----------
    kafka, topic : str
    partitions, seed : int
    """

    def __init__(self, kafka: str, topic: str, partitions: int, seed: int) -> None:
        self.written = Written()
        self._kafka, self._topic, self._partitions = kafka, topic, partitions
        self._draw, self._nature = random.Random(f"{seed} senders"), Nature(seed)
        self._plain = {codec: self._producer(codec, idempotent=number % 2 == 0)
                       for number, codec in enumerate(CODECS)}  # fmt: skip
        self._transactional = {codec: self._producer(codec, transactional=True) for codec in CODECS}
        self._long = self._producer("lz4", transactional=True)
        self._made = 0

    def write(self, count: int, each_step: Callable[[int], None]) -> Written:
        """Write so many records.

        Parameters
        ----------
        count : int
        each_step : function
            Called every few records with how many there are.
        """
        opened: list[tuple[tuple[int, int], Fate]] = []
        ends = [(int(count * begin), int(count * end), commits) for begin, end, commits in LONG]
        is_open = False
        while self._made < count:
            room = count - self._made
            began = self._made
            self._draw.choices([self._burst, self._transaction, self._batch], [30, 30, 40])[0](room)
            if ends and not is_open and self._made >= ends[0][0]:
                self._long.begin_transaction()
                is_open = True
            if is_open:
                for _ in range(max(1, (self._made - began) // LONG_STEP)):
                    self._send(self._long, "lz4", opened.append)
                if self._made >= ends[0][1] or self._made >= count:
                    self._end(self._long, opened, ends.pop(0)[2], "long transaction")
                    opened, is_open = [], False
            each_step(self._made)
        for producer in self._plain.values():
            assert producer.flush(PATIENCE) == 0
        return self.written

    def _producer(self, codec: str, *, idempotent: bool = False, transactional: bool = False) -> Producer:
        settings: dict[str, Any] = {"bootstrap.servers": self._kafka, "compression.type": codec, **SETTINGS}
        if transactional:
            settings["transactional.id"] = f"fuzz-{codec}-{uuid.uuid4().hex}"
        else:
            settings["enable.idempotence"] = idempotent
        producer = Producer(settings)
        if transactional:
            producer.init_transactions(PATIENCE)
        return producer

    def _burst(self, room: int) -> None:
        codec = self._draw.choice(CODECS)
        count = min(room, self._draw.randint(1, BURST))
        for _ in range(count):
            self._send(self._plain[codec], codec, self._keep)
        self.written.ways[f"plain {codec}"] += count

    def _keep(self, placed: tuple[tuple[int, int], Fate]) -> None:
        self.written.fates[placed[0]] = placed[1]

    def _transaction(self, room: int) -> None:
        codec = self._draw.choice(CODECS)
        producer, placed = self._transactional[codec], list[tuple[tuple[int, int], Fate]]()
        producer.begin_transaction()
        for _ in range(min(room, self._draw.randint(1, TRANSACTION))):
            self._send(producer, codec, placed.append)
        self._end(producer, placed, self._draw.random() < 0.6, "transaction")

    def _end(
        self, producer: Producer, placed: list[tuple[tuple[int, int], Fate]], commits: bool, what: str
    ) -> None:
        # What is aborted before it was written is nowhere.
        assert producer.flush(PATIENCE) == 0
        if commits:
            producer.commit_transaction(PATIENCE)
            self.written.fates.update(placed)
        else:
            producer.abort_transaction(PATIENCE)
            self.written.aborted.update(place for place, _ in placed)
        self.written.ways[f"{what} {'committed' if commits else 'aborted'}"] += len(placed)

    def _send(
        self, producer: Producer, codec: str, took: Callable[[tuple[tuple[int, int], Fate]], None]
    ) -> None:
        wild = self._nature.record(raw=False, compressed=codec != "none")
        fate = Fate.of(wild)

        def arrived(error: Any, message: Any) -> None:
            if error is not None:
                self.written.refused.append(f"{fate.kind}: {error}")
            else:
                took(((message.partition(), message.offset()), fate))

        headers = [(name.decode(), value) for name, value in wild.headers]
        given = {"headers": headers, "timestamp": wild.timestamp, "on_delivery": arrived}
        partition = self._draw.randrange(self._partitions)
        while True:
            try:
                producer.produce(self._topic, wild.value, wild.key, partition, **given)
                break
            except BufferError:  # so much is on its way
                producer.poll(0.1)
        producer.poll(0)
        self._made += 1

    def _batch(self, room: int) -> None:
        codec = self._draw.choice(CODECS)
        wilds: list[Wild] = []
        size = 0
        for _ in range(min(room, self._draw.randint(1, BATCH))):
            wild = self._nature.record(raw=True, compressed=codec != "none")
            needs = len(wild.value or b"") + len(wild.key or b"") + 1000 * len(wild.headers)
            if size and size + needs > BATCH_BYTES:
                self._write_batch(wilds, codec)
                wilds, size = [], 0
            wilds.append(wild)
            size += min(needs, LARGEST)
        self._write_batch(wilds, codec)

    def _write_batch(self, wilds: list[Wild], codec: str) -> None:
        partition = self._draw.randrange(self._partitions)
        records = [RawRecord(each.value, each.key, each.headers, each.timestamp) for each in wilds]
        try:
            first = produce_batch(self._kafka, self._topic, batch(records, codec=codec), partition)
        except AssertionError as error:
            kinds = Counter(each.kind for each in wilds)
            self.written.refused.append(f"batch {codec} of {dict(kinds)}: {error}")
            return
        finally:
            self._made += len(wilds)
        for offset, wild in enumerate(wilds, first):
            self.written.fates[partition, offset] = Fate.of(wild)
        self.written.ways[f"by hand {codec}"] += len(wilds)
