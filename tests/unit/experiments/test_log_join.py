"""Both logs read partition by partition, however it is cut: the same as the naive join of what is in time."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.experiments import log_join
from recommender.experiments.log_join import JoinedLogs, signs_of
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import Headers
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from recommender.shard.feedback import Feedback
from tests.support.doubles import FakeRecord
from tests.unit.experiments.test_attribution import WINDOW, Key, Rated, Shown, naive, plain

PARTITIONS = 2
LATENESS = 8.0
GRADED = Feedback.parse("graded:4")
USERS = ("u", "v", "w", "x2")
#: When Kafka got the records: later than any event.
NOW = 1000.0


def record(
    topic: str,
    partition: int,
    offset: int,
    value: bytes | None,
    headers: Headers = (),
    timestamp: int = int(NOW * 1000),
) -> FakeRecord:
    return FakeRecord(offset, value, None, timestamp, headers, topic, partition)


def rating(user: str, item: str, value: float | None, time: float | None) -> bytes:
    return json.dumps({"user": user, "item": item, "rating": value, "timestamp": time}).encode()


def logged(shown: Shown) -> bytes:
    places = [LoggedPlace(*place) for place in shown.places]
    return LoggedRecommendation(*shown[:4], f"{shown.arm}-model", shown.time, places).encode()


def fetched(topic: str, values: Sequence[bytes | None], partition: int = 0) -> list[FakeRecord]:
    return [record(topic, partition, offset, value) for offset, value in enumerate(values)]


def logs_of(*, partitions: int = 1, feedback: Feedback = GRADED, window: float = WINDOW) -> JoinedLogs:
    return JoinedLogs(partitions, feedback, window, LATENESS)


def in_time(records: Sequence[Shown] | Sequence[Rated]) -> list[Shown | Rated]:
    """The records of one partition of one log that are not late."""
    kept: list[Shown | Rated] = []
    newest = -math.inf
    for each in records:
        if each.time >= newest - LATENESS:
            kept.append(each)
        newest = max(newest, each.time)
    return kept


@st.composite
def both_logs(draw: st.DrawFn) -> tuple[list[Shown], list[Rated]]:
    users, items = st.sampled_from(USERS), st.sampled_from(["x", "y"])
    times = st.integers(0, 80).map(float)
    lists = st.tuples(users, times, st.lists(items, unique=True, min_size=1), st.integers(0, 3))
    shown = draw(st.lists(lists, max_size=12, unique_by=lambda each: (each[0], each[3], each[1])))
    rated = draw(st.lists(st.tuples(users, items, st.sampled_from([-1, 1]), times), max_size=16))
    if draw(st.booleans()):
        shown.sort(key=lambda each: each[1])
        rated.sort(key=lambda each: each[3])
    return (
        [
            Shown(user, f"r{request}", "e", f"a{request % 2}", time, tuple(chosen))
            for user, time, chosen, request in shown
        ],
        [Rated(*each, offset) for offset, each in enumerate(rated)],
    )


@given(logs=both_logs(), seed=st.integers(0, 2**32))
def test_cuts_interleaving_re_reads_and_restarts_change_nothing(
    logs: tuple[list[Shown], list[Rated]], seed: int
) -> None:
    shown, rated = logs
    expected: list[Shown | Rated] = []
    streams: dict[tuple[str, int], list[FakeRecord]] = {}
    for partition in range(PARTITIONS):
        mine_shown = [each for each in shown if partition_of(each.user, PARTITIONS) == partition]
        mine_rated = [each for each in rated if partition_of(each.user, PARTITIONS) == partition]
        expected += in_time(mine_shown) + in_time(mine_rated)
        streams["shown", partition] = fetched("shown", [logged(each) for each in mine_shown], partition)
        values = [rating(each.user, each.item, 5 if each.sign > 0 else 1, each.time) for each in mine_rated]
        streams["rated", partition] = fetched("rated", values, partition)
    random_ = random.Random(seed)
    joined = logs_of(partitions=PARTITIONS)
    read = dict.fromkeys(streams, 0)
    while any(read[each] < len(streams[each]) for each in streams):
        name, partition = random_.choice(list(streams))
        # Some records come again.
        start = random_.randint(max(0, read[name, partition] - 3), read[name, partition])
        batch = streams[name, partition][start : start + random_.randint(2, 12)]
        take = joined.take_ratings if name == "rated" else joined.take_recommendations
        take(partition, batch)
        read[name, partition] = max(read[name, partition], start + len(batch))
        if random_.random() < 0.3:
            for pair in joined._pairs:
                joined._settle(pair)
        if random_.random() < 0.1:
            state, joined = joined.state(), logs_of(partitions=PARTITIONS)
            joined.restore(state)
            assert digest_of(joined) == {name: array.tobytes() for name, array in state.items()}
    assert plain(joined.counts()) == naive(expected)
    late = len(shown) + len(rated) - len(expected)
    assert sum(each.late for each in joined.ratings + joined.recommendations) == late


def digest_of(joined: JoinedLogs) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in joined.state().items()}


def one(joined: JoinedLogs) -> tuple[Key, tuple[int, int, int]]:
    """The only row of counts."""
    (row,) = plain(joined.counts()).items()
    return row


def shown_once(joined: JoinedLogs, user: str = "u", time: float = 10.0) -> None:
    partition = partition_of(user, joined.partitions)
    value = logged(Shown(user, "r", "e", "a", time, ("x",)))
    joined.take_recommendations(partition, fetched("shown", [value], partition))


def test_a_rating_without_a_time_has_its_records() -> None:
    for headers in ((), [("other", b"")]):
        joined = logs_of(window=1000.0)
        shown_once(joined)
        joined.take_ratings(0, [record("rated", 0, 0, rating("u", "x", 5, None), headers, 12_000)])
        assert joined.ratings[0].first == 12.0
        assert one(joined)[1] == (1, 1, 1)


def test_bad_records_are_counted_and_the_first_is_told() -> None:
    joined = logs_of(partitions=2)
    user = next(user for user in USERS if partition_of(user, 2) == 1)
    good = logged(Shown(user, "r", "e", "a", 10.0, ("x",)))
    bad = [b"{}", None, b"\xff", b'{"user": 1}', b"[" * 100_000, good]
    joined.take_recommendations(0, fetched("shown", bad))
    joined.take_recommendations(1, fetched("shown", [good], 1))
    progress = joined.recommendations[0]
    assert (progress.records, progress.bad, progress.offset) == (6, 6, 6)
    assert progress.note == "shown[0] offset 0: Object missing required field `user`"
    joined.take_ratings(
        1, fetched("rated", [b"x", rating(user, "x", 99, 1.0), rating(user, "x", 5, 12.0)], 1)
    )
    assert (joined.ratings[1].bad, joined.ratings[1].records) == (2, 3)
    assert "malformed" in joined.ratings[1].note
    assert one(joined)[1] == (1, 1, 1)
    again = logs_of(partitions=2)
    again.restore(joined.state())
    assert again.ratings == joined.ratings
    assert again.recommendations == joined.recommendations


def test_a_recommendation_in_the_wrong_partition_is_told() -> None:
    joined = logs_of(partitions=2)
    user = next(user for user in USERS if partition_of(user, 2) == 1)
    joined.take_recommendations(0, fetched("shown", [logged(Shown(user, "r", "e", "a", 1.0, ("x",)))]))
    assert joined.recommendations[0].note == f"shown[0] offset 0: user '{user}' belongs to partition 1"
    assert len(joined.counts()) == 0


def test_a_clock_that_is_wrong_makes_no_others_late() -> None:
    joined = logs_of()
    shown_once(joined)
    values = [rating("v", "x", 5, 1e9), rating("u", "x", 5, 12.0)]
    joined.take_ratings(0, [record("rated", 0, n, value, (), 13_000) for n, value in enumerate(values)])
    assert joined.ratings[0].late == 0
    assert one(joined)[1] == (1, 1, 1)


def test_memory_is_bounded_by_window_and_lateness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_join, "SETTLE_ROWS", 20)
    joined = logs_of()
    held = []
    for number in range(2000):
        time = float(number)
        value = logged(Shown(f"u{number % 7}", f"r{number}", "e", "a", time, ("x",)))
        joined.take_recommendations(0, [record("shown", 0, number, value, (), int(1e9))])
        value = rating(f"u{number % 7}", "x", 5, time + 0.5)
        joined.take_ratings(0, [record("rated", 0, number, value, (), int(1e9))])
        joined.settle()
        held.append(len(joined))
    assert max(held) < 4 * (WINDOW + LATENESS) + 40
    assert sum(row[1] for row in plain(joined.counts()).values()) == 2000


@pytest.mark.parametrize("silent", ["ratings", "recommendations"])
def test_a_log_that_stands_still_does_not_hold_the_other_in_memory(
    monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    monkeypatch.setattr(log_join, "STANDSTILL", 20.0)
    joined = logs_of()
    for number in range(200):
        if silent == "ratings":
            value = logged(Shown("u", f"r{number}", "e", "a", float(number), ("x",)))
            joined.take_recommendations(0, [record("shown", 0, number, value)])
        else:
            joined.take_ratings(0, [record("rated", 0, number, rating("u", "x", 5, float(number)))])
        joined.settle_at_ends()
        assert len(joined) <= 20 + WINDOW + LATENESS + 2
    # What comes then, from now, counts.
    value = logged(Shown("u", "new", "e", "b", 200.0, ("x",)))
    joined.take_recommendations(0, [record("shown", 0, 500, value)])
    joined.take_ratings(0, [record("rated", 0, 500, rating("u", "x", 5, 201.0))])
    assert plain(joined.counts())["e", "b", "exploit", 0, "u"] == (1, 1, 1)
    # What comes from long ago is late: its time was settled.
    joined.take_ratings(0, [record("rated", 0, 501, rating("u", "x", 5, 100.0))])
    assert joined.ratings[0].late == 1


def signs(feedback: Feedback, *ratings: float | None) -> list[int]:
    return signs_of(feedback, np.array(ratings, np.float64)).tolist()  # None becomes NaN


def test_signs() -> None:
    assert signs(GRADED, 0.5, 3.5, 4.0, 5.0, None, 0.0) == [-1, -1, 1, 1, 0, -1]
    assert signs(Feedback.parse("positive:3"), 2.5, 3.0, None) == [-1, 1, 0]
    assert signs(Feedback.parse("signed"), -1.0, 1.0, 0.0, None, 0.5) == [-1, 1, 0, 0, 1]
    assert signs(GRADED) == []
    assert signs_of(GRADED, np.array([4.0])).dtype == np.int8


def test_skips_of_signed_ratings_are_no_outcome() -> None:
    joined = logs_of(feedback=Feedback.parse("signed"))
    shown_once(joined)
    values = [b'{"user": "u", "item": "x", "rating": "skip", "timestamp": 11}', rating("u", "x", -1, 12.0)]
    joined.take_ratings(0, fetched("rated", values))
    assert joined.ratings[0].bad == 0
    assert one(joined)[1] == (1, 1, 0)


def test_ratings_written_in_any_way_are_read_in_their_order() -> None:
    """Plain JSON, JSON that takes a closer look, MessagePack and what is bad, in one batch and one by one."""
    names = ["u", "\u00fc" * 100, "v", "w"]
    owned = [name for name in names if partition_of(name, 2) == 1]
    assert 0 < len(owned) < len(names)
    records: list[FakeRecord] = []
    for number in range(60):
        body: dict[str, Any] = {
            "user": names[number % 4],
            "item": f"i{number % 5}",
            "rating": [5, 1, None][number % 3],
        }
        if number % 7:
            body["timestamp"] = 10.0 + number
        headers: Headers = ()
        value = json.dumps(body).encode()
        if number % 5 == 0:
            value, headers = msgspec.msgpack.encode(body), [("content-type", b"application/msgpack")]
        elif number % 11 == 0:
            value = value[:-2]
        records.append(record("rated", 1, number, value, headers, 15_000 + number))
    together, apart = logs_of(partitions=2), logs_of(partitions=2)
    together.take_ratings(1, records)
    for each in records:
        apart.take_ratings(1, [each])
    assert digest_of(together) == digest_of(apart)
    assert together.ratings[1].bad == sum(1 for n in range(60) if n % 5 and n % 11 == 0)
    counted = [n for n in range(60) if names[n % 4] in owned and n % 3 != 2 and (n % 5 == 0 or n % 11)]
    assert len(together) == len(counted) - together.ratings[1].late
