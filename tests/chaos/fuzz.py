"""Mutated ratings and requests, without Kafka: nothing dies, no good one is lost, each bad one is told so."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from recommender.history.arrays import digest
from recommender.ingest.ingest import BatchDecoder, Ingest, Ingested
from recommender.journal.block import Packer, Source
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.messages.ratings import BadMessage
from recommender.shard.options import ShardOptions
from tests.support.answering_setup import REQUESTS, RESPONSES, Desk
from tests.support.doubles import FakeRecord, until

PARTITIONS = 3
RUN = 300
#: What breaks parsers: structure, numbers at their limits, halves of characters.
TOKENS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b",",
        b":",
        b"\\",
        b"null",
        b"true",
        b"-",
        b"0",
        b"1e999",
        b"NaN",
        b"\x00",
    ),
    *(
        b"9" * 30,
        b"0.1",
        b"-0.0",
        b"\xff",
        b"\xc3\x28",
        b"\\ud800",
        b"\\u0000",
        b'"user":',
        b'"rating":5',
        b" ",
    ),
    *(
        b'"item":"x"',
        b'"timestamp":1e11',
        b'"n":0',
        b'"after":99999',
        b'"items":[]',
        b'"arm":"other"',
        b"[" * 3000,
    ),
]
Headers = tuple[tuple[str, bytes], ...]
HEADERS: list[tuple[str, bytes]] = [
    *(
        ("content-type", value)
        for value in (b"application/json", b"application/msgpack", b"text/csv", b"\xff")
    ),
    *(("kafka_replyTopic", value) for value in (b"a-replies", b"secret", b"\xff", b"")),
    *(("deadline-ms", value) for value in (b"1", b"99999999999999", b"soon", b"9" * 400)),
    ("recommender-forwarded", b"0:1"),
    ("trace", b"\x00\xff"),
]


def mutated(value: bytes, draw: random.Random) -> bytes | None:
    """A record's value with up to three things done to it."""
    if draw.random() < 0.01:
        return None
    changed = bytearray(value)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(6):
            case 0:
                changed[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                changed[place:place] = draw.choice(TOKENS)
            case 2:
                del changed[place : place + draw.randint(1, 8)]
            case 3:
                del changed[place:]
            case 4:
                other = draw.randrange(len(changed) + 1)
                changed[place:place] = changed[min(place, other) : max(place, other)]
            case _:
                changed[place : place + 1] = b"%d" % draw.randrange(-9, 10**9)
    return bytes(changed)


def some_headers(draw: random.Random) -> Headers:
    """Mostly none."""
    return tuple(draw.sample(HEADERS, draw.randint(1, 3))) if draw.random() < 0.1 else ()


def rating_records(count: int, draw: random.Random) -> Iterable[FakeRecord]:
    """Ratings, half of them mutated."""
    for offset in range(count):
        body: dict[str, Any] = {"user": str(draw.randrange(200)), "item": f"i{draw.randrange(500)}"}
        body |= {"rating": draw.choice([1, 2.5, 5, 5, None]), "timestamp": 1_000_000_000 + offset}
        headers = some_headers(draw) if draw.random() < 0.5 else ()
        packed = dict(headers).get("content-type") == b"application/msgpack" and draw.random() < 0.8
        value: bytes | None = msgspec.msgpack.encode(body) if packed else json.dumps(body).encode()
        if draw.random() < 0.5:
            value = mutated(value or b"", draw)
        yield FakeRecord(offset, value, b"key", offset, headers)


class _Learner:
    """What ratings go through from their topic to a state: decoded, packed into blocks, followed, learned."""

    def __init__(self) -> None:
        options = ShardOptions("sequence-knn")
        feedback = options.feedback
        self._ingest = Ingest("ratings", BatchDecoder(feedback.low, feedback.high))
        self._packer = Packer(Source(bytes(16), 0))
        self.replica = Replica(Rule("journal"), options)

    def take(self, records: Sequence[FakeRecord]) -> Ingested:
        """Learn records whose offsets ascend."""
        ingested = self._ingest.read(0, records)
        offsets = np.array([each.offset for each in records])
        begin, end = self.replica.applied.get(self._packer.source, 0), int(offsets[-1]) + 1
        for _, (block,) in self._packer.pack_range(begin, end, ingested.rows, offsets):
            self.replica.apply([FakeRecord(self.replica.position, block)])
        return ingested

    def digest(self) -> str:
        return digest(self.replica.shard.state())


def fuzz_ratings(count: int, seed: int) -> str:
    """Learn mutated ratings in runs of random length; what became of them, in words.

    The reference decodes one record at a time and learns only those that decode, in other runs.

    Raises
    ------
    AssertionError
        A record was lost, learned although it is bad, or a dead letter although it is good.
    """
    draw = random.Random(seed)
    learner, reference, decoder = _Learner(), _Learner(), BatchDecoder(0.5, 5.0)
    total: Counter[str] = Counter()
    run: list[FakeRecord] = []
    good: list[FakeRecord] = []
    length = 1
    for record in rating_records(count, draw):
        run.append(record)
        if len(run) < length and record.offset < count - 1:
            continue
        good += _check(learner.take(run), run, decoder, total)
        if good and (len(good) > 5 * RUN or record.offset == count - 1):
            reference.take(good)
            good = []
        run, length = [], draw.randint(1, RUN)
    shard = learner.replica.shard
    assert list(learner.replica.applied.values()) == [count]
    assert learner.digest() == reference.digest(), "the state depends on what is no rating"
    told = ", ".join(f"{number} {what}" for what, number in sorted(total.items()))
    return (
        f"{count} ratings, half of them mutated: {told}; {len(shard.users)} users, {len(shard.items)} items"
    )


def _check(
    ingested: Ingested, run: list[FakeRecord], decoder: BatchDecoder, total: Counter[str]
) -> list[FakeRecord]:
    """Compare what became of a run with what each record is by itself; those that decode."""
    expected, good = set(), []
    for record in run:
        try:
            decoder.decode(record.value, record.headers)
            good.append(record)
        except BadMessage:
            expected.add(record.offset)
    letters = [dict(each.headers) for each in ingested.dead_letters]
    found = {int(each["__connect.errors.offset"]) for each in letters}
    assert {each["__connect.errors.stage"] for each in letters} <= {b"decode"}
    assert found == expected, f"wrongly dead letters: {found - expected}; not: {expected - found}"
    assert len(letters) == len(found)
    assert ingested.learned == len(good)
    total.update({"learned": ingested.learned, "dead letters": len(letters)})
    return good


def request_records(count: int, draw: random.Random) -> Iterable[FakeRecord]:
    """Requests, most of them mutated; each has a key of its own, by which its reply is known."""
    for offset in range(count):
        body: dict[str, Any] = {"user": draw.choice(["rater", "6", "7", "somebody"])}
        fields = {"n": 3, "items": ["i0", "i1", 7], "exclude": ["i1"], "include_rated": True, "after": 1}
        body |= dict(draw.sample(sorted(fields.items()), draw.randint(0, 3)))
        value: bytes | None = json.dumps(body).encode()
        if draw.random() < 0.8:
            value = mutated(value or b"", draw)
        yield FakeRecord(offset, value, b"%d" % offset, 0, some_headers(draw), REQUESTS)


def fuzz_requests(count: int, seed: int) -> str:
    """Ask mutated requests; what was answered, in words.

    Raises
    ------
    AssertionError
        A request has no reply or two, or something was logged as a bug.
    """
    logger, heard = logging.getLogger("recommender.worker.answering"), _Heard()
    logger.addHandler(heard)
    try:
        desk = asyncio.run(_ask_all(count, random.Random(seed)))
    finally:
        logger.removeHandler(heard)
    assert not heard.records, heard.records[0].getMessage()
    replies = [each for topic, each in desk.sent.all if topic != REQUESTS]
    answered = sorted(int(each.key or b"") for each in replies)
    assert answered == list(range(count)), "a request has no reply, or two"
    codes = Counter(json.loads(each.value or b"").get("error", {"code": "ok"})["code"] for each in replies)
    assert codes["internal_error"] == 0
    told = ", ".join(f"{number} {code}" for code, number in sorted(codes.items()))
    elsewhere = sum(topic not in (REQUESTS, RESPONSES) for topic, _ in desk.sent.all)
    return f"{count} requests: {told}; {elsewhere} replies on topics that were named"


async def _ask_all(count: int, draw: random.Random) -> Desk:
    desk = Desk(PARTITIONS, request_wait=0.0)
    run: list[FakeRecord] = []
    for record in request_records(count, draw):
        run.append(record)
        if len(run) == RUN or record.offset == count - 1:
            await desk.take(*run)
            run = []
    await until(lambda: len(desk.codes) == count)
    return desk


class _Heard(logging.Handler):
    """Keeps errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
