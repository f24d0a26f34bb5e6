"""Mutated ratings and requests, without Kafka: nothing dies, no good one is lost, each bad one is told so."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from recommender.ingest.forwarded import SOURCE
from recommender.ingest.ingest import Ingest, Outcome
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import BadMessage, RatingDecoder
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
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
    *((SOURCE, value) for value in (b"1:5", b"2:900", b"0:-1", b"x", b"9:9", b"1:" + b"9" * 40)),
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
    """Ratings of users of partition 0, half of them mutated."""
    users = [each for each in map(str, range(600)) if partition_of(each, PARTITIONS) == 0]
    for offset in range(count):
        body: dict[str, Any] = {"user": draw.choice(users), "item": f"i{draw.randrange(500)}"}
        body |= {"rating": draw.choice([1, 2.5, 5, 5, None]), "timestamp": 1_000_000_000 + offset}
        headers = some_headers(draw) if draw.random() < 0.5 else ()
        packed = dict(headers).get("content-type") == b"application/msgpack" and draw.random() < 0.8
        value: bytes | None = msgspec.msgpack.encode(body) if packed else json.dumps(body).encode()
        if draw.random() < 0.5:
            value = mutated(value or b"", draw)
        yield FakeRecord(offset, value, b"key", offset, headers)


def fuzz_ratings(count: int, seed: int) -> str:
    """Feed mutated ratings to a shard in runs of random length; what became of them, in words.

    The reference decodes one record at a time and learns only those that decode, in other runs.

    Raises
    ------
    AssertionError
        A record was lost, learned although it is bad, or a dead letter although it is good.
    """
    draw = random.Random(seed)
    ingest, decoder = Ingest("ratings", PARTITIONS, RatingDecoder(0.5, 5.0)), RatingDecoder(0.5, 5.0)
    shard, reference = Shard(ShardOptions("sequence-knn")), Shard(ShardOptions("sequence-knn"))
    total: Counter[str] = Counter()
    run: list[Any] = []
    good: list[Any] = []
    length = 1
    for record in rating_records(count, draw):
        run.append(record)
        if len(run) < length and record.offset < count - 1:
            continue
        outcome = ingest.apply(shard, run)
        good += _check(outcome, run, decoder, total)
        if len(good) > 5 * RUN or record.offset == count - 1:
            ingest.apply(reference, good)
            good = []
        run, length = [], draw.randint(1, RUN)
    reference.offset = shard.offset
    assert shard.offset == count
    assert shard.digest() == reference.digest(), "the state depends on what is no rating"
    told = ", ".join(f"{number} {what}" for what, number in sorted(total.items()))
    return (
        f"{count} ratings, half of them mutated: {told}; {len(shard.users)} users, {len(shard.items)} items"
    )


def _check(
    outcome: Outcome, run: list[FakeRecord], decoder: RatingDecoder, total: Counter[str]
) -> list[FakeRecord]:
    """Compare what became of a run with what each record is by itself; those that decode."""
    expected, good = set(), []
    for record in run:
        try:
            decoder.decode(record.value, record.headers)
            good.append(record)
        except BadMessage:
            expected.add(record.offset)
    letters = [dict(each.headers) for each in outcome.dead_letters]
    stages = Counter(each["__connect.errors.stage"].decode() for each in letters)
    decode = {
        int(each["__connect.errors.offset"])
        for each in letters
        if each["__connect.errors.stage"] == b"decode"
    }
    assert decode == expected, f"wrongly dead letters: {decode - expected}; not: {expected - decode}"
    assert len(letters) == len({each["__connect.errors.offset"] for each in letters})
    rest = len(run) - outcome.learned - len(letters) - len(outcome.forwards)
    repeated = sum(any(name == SOURCE for name, _ in record.headers) for record in good)
    assert 0 <= rest <= repeated, f"{rest} records of a run of {len(run)} are nowhere"
    total.update({"learned": outcome.learned, "forwarded": len(outcome.forwards), "here before": rest})
    total.update({f"dead letters ({stage})": number for stage, number in stages.items()})
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
    forwarded = [dict(each.headers)["recommender-forwarded"] for each in desk.sent.to(REQUESTS)]
    places = [int(each.partition(b":")[2]) for each in forwarded]
    answered = [int(each.key or b"") for each in replies]
    assert sorted(answered + places) == list(range(count)), "a request has no reply, or two"
    codes = Counter(json.loads(each.value or b"").get("error", {"code": "ok"})["code"] for each in replies)
    assert codes["internal_error"] == 0
    told = ", ".join(f"{number} {code}" for code, number in sorted(codes.items()))
    elsewhere = sum(topic not in (REQUESTS, RESPONSES) for topic, _ in desk.sent.all)
    return f"{count} requests: {told}, {len(places)} forwarded; {elsewhere} replies on topics that were named"


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
