"""What happens to each rating: learned, a dead letter, forwarded, or skipped since it was here before."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.forwarded import SOURCE
from recommender.ingest.ingest import Ingest, Outcome
from recommender.messages.ratings import Rating, RatingDecoder
from recommender.messages.refusals import Kind
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import FakeRecord, few, rating_records, rating_value, users_of

BAD: dict[str, tuple[bytes | None, str]] = {
    "not JSON": (b"\xffnope", "malformed"),
    "null": (None, "the value is null"),
    "not an object": (b"[1]", "Expected `object`"),
    "missing field": (b'{"user":"1","item":"2"}', "missing required field `rating`"),
    "wrong type": (b'{"user":"1","item":"2","rating":"5"}', "$.rating"),
    "out of range": (b'{"user":"1","item":"2","rating":77}', "$.rating"),
    "long id": (rating_value("1" * 257, "2"), "256"),
    "absurd timestamp": (rating_value("1", "2", 5, timestamp=10**13), "$.timestamp"),
    "deep": (b'{"user":1,"item":2,"rating":3,"x":' + b"[" * 20_000, "nested too deeply"),
    "large": (rating_value("1", "2", 5, x="x" * 1_000_000), "bytes"),
}


def ingest(partitions: int = 1) -> Ingest:
    return Ingest("ratings", partitions, RatingDecoder(0.5, 5.0))


def shard(partition: int = 0, policy: str = "graded:4") -> Shard:
    return Shard(ShardOptions(feedback=Feedback.parse(policy)))


def apply(to: Shard, records: list[FakeRecord], partitions: int = 1) -> Outcome:
    return ingest(partitions).apply(to, records)


def standing(of: Shard) -> dict[tuple[str, str], float]:
    return {
        (user, of.items.id_of(int(item))): float(rating)
        for user in of.users.ids()
        for item, rating in zip(*of.history.rated(of.users.find(user) or 0)[:2], strict=True)
    }


def test_ratings_are_learned_and_the_offset_moves_past_them() -> None:
    here = shard()
    outcome = apply(here, rating_records([Rating("a", "x", 5, 7.0), Rating("b", "y", 3, None)], first=10))
    assert outcome == Outcome(learned=2)
    assert here.offset == 12
    assert standing(here) == {("a", "x"): 5.0, ("b", "y"): 3.0}


def test_no_records_change_nothing() -> None:
    here = shard()
    before = here.digest()
    assert apply(here, []) == Outcome()
    assert here.digest() == before


def test_the_time_is_the_ratings_own_or_else_the_records() -> None:
    here = shard()
    apply(here, [FakeRecord(0, rating_value("a", "x", 5, timestamp=7.5), timestamp=99_000)])
    apply(here, [FakeRecord(1, rating_value("b", "x", 5), timestamp=99_250)])
    assert here.history.state()["user_times"].tolist() == [7.5, 99.25]


@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_dead_letters_and_their_neighbours_are_learned(name: str) -> None:
    value, told = BAD[name]
    here = shard()
    good = [FakeRecord(each, rating_value("u", f"i{each}")) for each in (0, 2)]
    bad = FakeRecord(1, value, b"key \xff", 1234, (("trace", b"\x00\xff"), ("trace", b"2")))
    outcome = apply(here, [good[0], bad, good[1]])
    assert outcome.learned == 2
    assert standing(here) == {("u", "i0"): 5.0, ("u", "i2"): 5.0}
    assert here.offset == 3
    (letter,), (refusal,) = outcome.dead_letters, outcome.refusals
    assert (refusal.topic, refusal.partition, refusal.offset) == ("ratings", 0, 1)
    assert told in refusal.reason
    assert (letter.partition, letter.key, letter.value, letter.timestamp) == (0, b"key \xff", value, 1234)
    assert letter.headers[:2] == [("trace", b"\x00\xff"), ("trace", b"2")]
    told_headers = dict(letter.headers[2:])
    assert told in told_headers.pop("__connect.errors.exception.message").decode()
    assert told_headers == {
        "__connect.errors.topic": b"ratings",
        "__connect.errors.partition": b"0",
        "__connect.errors.offset": b"1",
        "__connect.errors.exception.class.name": b"recommender.BadMessage",
        "__connect.errors.stage": b"decode",
    }


def test_a_null_key_stays_null() -> None:
    (letter,) = apply(shard(2), [FakeRecord(0, b"x")]).dead_letters
    assert letter.key is None
    assert letter.partition == 2


def test_another_content_type_is_told_where_the_value_is_no_json() -> None:
    headers = (("content-type", b"text/csv"),)
    (letter,) = apply(shard(), [FakeRecord(0, b"a,b,5", headers=headers)]).dead_letters
    assert letter.headers[0] == headers[0]
    assert b"text/csv" in dict(letter.headers)["__connect.errors.exception.message"]
    assert apply(shard(), [FakeRecord(0, rating_value("a", "b"), headers=headers)]).learned == 1


def test_messagepack_is_learned() -> None:
    here = shard()
    value = msgspec.msgpack.encode({"user": "a", "item": 7, "rating": 4})
    apply(here, [FakeRecord(0, value, headers=(("content-type", b"application/msgpack"),))])
    assert standing(here) == {("a", "7"): 4.0}


def test_a_run_of_nothing_but_bad_records_moves_the_offset() -> None:
    here = shard()
    outcome = apply(here, [FakeRecord(each, b"") for each in range(5)])
    assert (outcome.learned, len(outcome.dead_letters), here.offset) == (0, 5, 5)
    restored = shard()
    restored.restore(here.state())
    assert restored.digest() == here.digest()


def test_records_that_were_learned_before_are_skipped() -> None:
    here = shard()
    records = [
        *rating_records([Rating("a", f"i{each}", 5, None) for each in range(5)]),
        FakeRecord(5, b"bad"),
    ]
    apply(here, records)
    before = here.digest()
    assert apply(here, records) == Outcome()
    assert apply(here, records[2:4]) == Outcome()
    assert here.digest() == before
    more = rating_records([Rating("a", f"i{each}", 5, None) for each in range(4, 8)], first=4)
    assert apply(here, more).learned == 2
    assert here.offset == 8


def test_offsets_may_have_gaps() -> None:
    here = shard()
    assert (
        apply(here, [FakeRecord(3, rating_value("a", "b")), FakeRecord(9, rating_value("a", "c"))]).learned
        == 2
    )
    assert here.offset == 10


@pytest.mark.parametrize("key", [None, b"other", b""])
def test_a_rating_of_another_partitions_user_is_forwarded(key: bytes | None) -> None:
    here, user = shard(1), users_of(2, 3)[0]
    value = rating_value(user, "x", 4, extra=True)
    outcome = apply(here, [FakeRecord(41, value, key, 777, (("trace", b"1"),))], partitions=3)
    assert (outcome.learned, outcome.dead_letters, here.events) == (0, [], 0)
    (forward,) = outcome.forwards
    assert (forward.partition, forward.key, forward.value, forward.timestamp) == (
        2,
        user.encode(),
        value,
        777,
    )
    assert forward.headers == [("trace", b"1"), (SOURCE, b"1:41")]
    assert here.offset == 42


def test_what_was_forwarded_is_learned_where_it_belongs() -> None:
    user = users_of(2, 3)[0]
    (forward,) = apply(shard(1), [FakeRecord(41, rating_value(user, "x", 4))], partitions=3).forwards
    there = shard(2)
    arrived = FakeRecord(0, forward.value, forward.key, forward.timestamp, tuple(forward.headers))
    assert apply(there, [arrived], partitions=3) == Outcome(learned=1)
    assert standing(there) == {(user, "x"): 4.0}
    assert there.forwarded.reached() == {1: 42}


def test_a_rating_without_a_key_at_home_is_learned() -> None:
    here, user = shard(1), users_of(1, 3)[0]
    assert apply(here, [FakeRecord(0, rating_value(user, "x"), None)], partitions=3).learned == 1


def test_what_was_forwarded_to_the_wrong_partition_is_not_forwarded_again() -> None:
    here, user = shard(1), users_of(2, 3)[0]
    outcome = apply(here, [FakeRecord(0, rating_value(user, "x"), headers=((SOURCE, b"0:5"),))], partitions=3)
    assert outcome.forwards == []
    (letter,) = outcome.dead_letters
    assert [each.kind for each in outcome.refusals] == [Kind.WRONG_PARTITION]
    told = dict(letter.headers)
    assert told["__connect.errors.stage"] == b"route"
    assert f"user '{user}' belongs to partition 2 of 3" in told["__connect.errors.exception.message"].decode()


def arrivals(source: int, offsets: list[int], user: str) -> list[tuple[int, int, Rating]]:
    return [(source, offset, Rating(user, f"from {source} at {offset}", 5, 1.0)) for offset in offsets]


@st.composite
def forwarding(draw: st.DrawFn) -> list[tuple[int, int, Rating]]:
    """What two partitions forward: each in the order of its log, some of it again after each restart."""
    sent: list[list[tuple[int, int, Rating]]] = []
    for source, user in zip((0, 1), users_of(2, 3)[:2], strict=True):
        log = draw(st.lists(st.integers(0, 50), max_size=8, unique=True).map(sorted))
        reached, offsets = 0, list[int]()
        for restart in draw(st.lists(st.integers(0, 8), max_size=3)):
            stop = draw(st.integers(0, len(log)))
            offsets += log[min(restart, reached) : stop]
            reached = max(reached, stop)
        offsets += log[min(reached, len(log)) :]
        sent.append(arrivals(source, offsets, user))
    merged: list[tuple[int, int, Rating]] = []
    while any(sent):
        turn = draw(st.sampled_from([each for each in sent if each]))
        merged.append(turn.pop(0))
    return merged


@few
@given(forwarding(), st.lists(st.integers(0, 30), max_size=4).map(sorted))
def test_forwarded_ratings_count_once(sent: list[tuple[int, int, Rating]], cuts: list[int]) -> None:
    records = [
        FakeRecord(
            offset, rating_value(*rating[:3], timestamp=1.0), headers=((SOURCE, b"%d:%d" % (source, place)),)
        )
        for offset, (source, place, rating) in enumerate(sent)
    ]
    here, start, learned = shard(2), 0, 0
    for stop in [*cuts, len(records)]:
        learned += apply(here, records[start:stop], partitions=3).learned
        start = max(start, stop)
        restored = shard(2)
        restored.restore(here.state())
        here = restored
    first = list(dict.fromkeys((rating.user, rating.item) for _, _, rating in sent))
    assert learned == len(first) == here.events
    assert list(standing(here)) == sorted(first, key=lambda each: here.users.find(each[0]) or 0)
    expected: dict[int, int] = {}
    for source, place, _ in sent:
        expected[source] = max(expected.get(source, 0), place + 1)
    assert here.forwarded.reached() == expected


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"x",
        b"1",
        b"1:2:3",
        b"1:x",
        b"7:1",
        b"-1:1",
        b"0:-1",
        b"0:%d" % 2**70,
        b"\xff:1",
        b"1" * 6000 + b":1",
    ],
)
def test_a_source_that_is_not_ours_is_ignored(source: bytes) -> None:
    here, user = shard(2), users_of(2, 3)[0]
    record = FakeRecord(0, rating_value(user, "x"), headers=((SOURCE, source),))
    assert apply(here, [record], partitions=3).learned == 1
    assert here.forwarded.reached() == {}
    assert here.digest()


def test_a_withdrawal_is_forwarded_too() -> None:
    user = users_of(0, 2)[0]
    outcome = apply(shard(1), [FakeRecord(0, rating_value(user, "x", None))], partitions=2)
    assert [json.loads(each.value or b"")["rating"] for each in outcome.forwards] == [None]


@few
@given(
    st.lists(st.sampled_from(["good", "bad", "elsewhere"]), max_size=30),
    st.lists(st.integers(0, 30), max_size=4).map(sorted),
)
def test_mixed_runs_lose_nothing_however_they_are_cut(kinds: list[str], cuts: list[int]) -> None:
    mine, theirs = users_of(0, 2)[0], users_of(1, 2)[0]
    values: dict[str, Any] = {
        "good": lambda place: rating_value(mine, f"i{place}"),
        "bad": lambda place: b"bad",
        "elsewhere": lambda place: rating_value(theirs, f"i{place}"),
    }
    records = [FakeRecord(place, values[kind](place)) for place, kind in enumerate(kinds)]
    here, start, outcomes = shard(), 0, list[Outcome]()
    for stop in [*cuts, len(records)]:
        outcomes.append(apply(here, records[start:stop], partitions=2))
        start = max(start, stop)
    offsets = [dict(each.headers) for outcome in outcomes for each in outcome.dead_letters]
    assert [int(each["__connect.errors.offset"]) for each in offsets] == places(kinds, "bad")
    forwards = [each.headers[-1][1] for outcome in outcomes for each in outcome.forwards]
    assert forwards == [b"0:%d" % each for each in places(kinds, "elsewhere")]
    assert list(standing(here)) == [(mine, f"i{each}") for each in places(kinds, "good")]
    assert here.offset == len(kinds)


def places(kinds: list[str], kind: str) -> list[int]:
    return [place for place, each in enumerate(kinds) if each == kind]
