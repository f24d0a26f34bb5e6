"""What cannot be read is passed and buried by all that read, and what is no record is passed."""

from __future__ import annotations

import json
from typing import Any

from recommender.experiments.log_join import JoinedLogs
from recommender.ingest.ingest import BatchDecoder, Ingest, unread_letter
from recommender.journal.rule import Rule
from recommender.messages.records import Outgoing
from recommender.messages.refusals import Kind
from recommender.messages.unreadable import Unreadable
from recommender.shard.feedback import Feedback
from tests.support.answering_setup import REQUESTS, RESPONSES, Desk, error_of, request
from tests.support.doubles import FakeRecord, rating_value, until

CAUSE = "a header's name is not UTF-8"


def unreadable(topic: str, offset: int, first: int | None = None, **more: Any) -> Unreadable:
    content = rating_value("u", "unread")
    return Unreadable(topic, 0, offset, offset if first is None else first, CAUSE, content, **more)


def said(letter: Outgoing) -> dict[str, str]:
    headers = {name: value.decode() for name, value in letter.headers}
    return {name.removeprefix("__connect.errors."): value for name, value in headers.items()}


def test_its_dead_letter() -> None:
    one = unreadable("ratings", 7, key=b"u", headers=[("a", b"1")], timestamp=99)
    letter = unread_letter(one)
    assert letter[:4] == (0, b"u", one.content, 99)
    assert letter.headers[0] == ("a", b"1")
    expected = {
        "topic": "ratings",
        "partition": "0",
        "offset": "7",
        "exception.message": CAUSE,
        "stage": "read",
    }
    assert said(letter).items() >= expected.items()
    told = said(unread_letter(unreadable("ratings", 9, first=7)))
    assert (told["offset"], told["exception.message"]) == ("7", f"ratings[0] offsets 7 to 9: {CAUSE}")
    # The client refuses a record that is null in both.
    assert unread_letter(Unreadable("ratings", 0, 1, 1, CAUSE, None)).key == b""


def test_nothing_of_it_is_a_rating_and_its_neighbours_are() -> None:
    ingest = Ingest("ratings", BatchDecoder(0.5, 5.0))
    records: list[Any] = [
        FakeRecord(0, rating_value("u", "a")),
        unreadable("ratings", 3, first=1),
        FakeRecord(4, rating_value("u", "b")),
        unreadable("ratings", 5),
    ]
    ingested = ingest.read(0, records)
    assert ingested.rows.plain.tolist() == [True, False, True, False]
    assert ingested.learned == 2
    assert ingested.dead_letters == [unread_letter(records[1]), unread_letter(records[3])]
    assert [(each.kind, each.offset) for each in ingested.refusals] == [
        (Kind.UNREADABLE, 1),
        (Kind.UNREADABLE, 5),
    ]


async def test_a_request_is_buried_and_who_can_be_told_is_told() -> None:
    desk = Desk()
    told = unreadable(REQUESTS, 1, key=b"k", headers=[("kafka_correlationId", b"7")])
    records: list[Any] = [unreadable(REQUESTS, 0), told, request(2)]
    await desk.ask(*records)
    assert desk.buried == records[:2]
    assert sorted(desk.codes) == ["bad_request", "ok", "unreadable"]
    (reply,) = [each for each in desk.sent.to(RESPONSES) if each.key == b"k"]
    assert (error_of(reply)["message"], reply.headers[0]) == (CAUSE, ("kafka_correlationId", b"7"))
    assert len(desk.sent.to(RESPONSES)) == 2
    assert desk.done() == {0: 3}


async def test_a_request_that_cannot_be_buried_is_not_committed_past() -> None:
    desk = Desk()

    async def fail(record: Unreadable) -> None:
        raise OSError("gone")

    desk.bury = fail
    records: list[Any] = [unreadable(REQUESTS, 0), request(1)]
    await desk.take(*records)
    await until(lambda: desk.codes)
    assert (desk.codes, desk.done()) == (["ok"], {0: 0})


def test_the_report_counts_it_as_bad() -> None:
    joined = JoinedLogs([Rule("journal")], 1, Feedback.parse("graded:4"))
    logged: list[Any] = [unreadable("log", 2), FakeRecord(3, json.dumps({}).encode(), topic="log")]
    joined.take_recommendations(0, logged)
    assert [(each.records, each.bad, each.offset) for each in joined.recommendations] == [(2, 2, 4)]
    assert joined.recommendations[0].note == f"log[0] offset 2: {CAUSE}"
