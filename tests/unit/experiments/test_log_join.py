"""Two logs joined while they are read: neither cuts, nor order, nor restarts change what is counted."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.experiments.log_join import JoinedLogs, signs_of
from recommender.journal.block import Source
from recommender.journal.errors import BlockError
from recommender.messages.partitioning import partition_of
from recommender.messages.unreadable import Unreadable
from recommender.shard.feedback import Feedback
from tests.support.doubles import FakeRecord
from tests.unit.experiments.join_logs import (
    GRADED,
    LATENESS,
    NOW,
    SOURCES,
    block,
    fetched,
    logged,
    logs_of,
    one,
    record,
    shown_once,
)
from tests.unit.experiments.joins import Rated, Shown, naive, plain
from tests.unit.journal.blocks import Block, PlainRule, Row, packed

PARTITIONS, LOG_PARTITIONS = 2, 3

STANDSTILL = 30.0

USERS = ("u", "v", "w", "x2")

#: A rating in the journal, its source, and when it was written.
Counted = tuple[Source, Rated, float]


def in_time(records: Sequence[Shown]) -> list[Shown]:
    """The records of one partition of the log that are not late."""
    kept: list[Shown] = []
    newest = -math.inf
    for each in records:
        if each.time >= newest - LATENESS:
            kept.append(each)
        newest = max(newest, each.time)
    return kept


def in_time_by_source(counted: Sequence[Counted]) -> list[Rated]:
    """The ratings of one partition of the journal that are not late."""
    kept: list[Rated] = []
    newest, written = dict.fromkeys(SOURCES, -math.inf), dict.fromkeys(SOURCES, NOW)
    for source, each, now in counted:
        if now - written[source] > STANDSTILL:
            newest[source] = max(newest[source], max(newest.values()) - STANDSTILL)
        if each.time >= newest[source] - LATENESS:
            kept.append(each)
        newest[source], written[source] = max(newest[source], each.time), now
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
        [Rated(*each, 0) for each in rated],
    )


def written(rows: dict[Source, list[Row]], random_: random.Random) -> list[bytes]:
    """A partition of a journal as crashes leave it: blocks that are doubled, overlap, or lack one before.

    It begins with a block of each source.
    """
    blocks = [packed(mine[:1], 0, 1, source) for source, mine in rows.items()]
    ends = {source: mine[-1].offset + 1 for source, mine in rows.items()}
    applied = dict.fromkeys(ends, 1)
    while ends:
        source = random_.choice(list(ends))
        ahead = random_.random() < 0.1
        begin = min(
            ends[source] - 1, max(0, applied[source] + (2 if ahead else -random_.choice([0, 0, 0, 2])))
        )
        end = min(ends[source], begin + random_.randint(1, 5))
        mine = [row for row in rows[source] if begin <= row.offset < end]
        blocks.append(packed(mine, begin, end, source))
        if begin <= applied[source]:
            applied[source] = max(applied[source], end)
        if applied[source] == ends[source] and random_.random() < 0.8:
            del ends[source]
    return blocks


def journal_of(
    rated: Sequence[Rated], random_: random.Random
) -> tuple[list[list[FakeRecord]], list[list[Counted]]]:
    """The journal's partitions, and what counts in each by the plain rule.

    Each source has one more rating, of somebody to whom nothing is recommended.
    """
    first = Row(0, "nobody", "x", 5.0, 0.0)
    rows = [{source: [first] for source in SOURCES} for _ in range(PARTITIONS)]
    for offset, each in enumerate(rated, 1):
        value = 5.0 if each.sign > 0 else 1.0
        row = Row(offset, each.user, each.item, value, each.time)
        rows[partition_of(each.user, PARTITIONS)][random_.choice(SOURCES)].append(row)
    journal, counted = [], []
    for partition, mine in enumerate(rows):
        rule, now = PlainRule(), NOW
        records: list[FakeRecord] = []
        found: list[Counted] = []
        for offset, block_ in enumerate(written(mine, random_)):
            now += random_.choice([0, 0, 5, 40]) if offset > len(SOURCES) else 0
            records.append(record("rated", partition, offset, block_, int(now * 1000)))
            rule.step(Block(offset, block_))
            for number, each_ in enumerate(rule.out[len(found) :], len(found)):
                sign = 1 if each_.rating == 5.0 else -1
                found.append((each_.source, Rated(each_.user, each_.item, sign, each_.time, number), now))
        journal.append(records)
        counted.append(found)
    assert sum(map(len, counted)) == len(rated) + PARTITIONS * len(SOURCES)
    return journal, counted


@given(logs=both_logs(), seed=st.integers(0, 2**32))
def test_cuts_interleaving_re_reads_and_restarts_change_nothing(
    logs: tuple[list[Shown], list[Rated]], seed: int
) -> None:
    random_ = random.Random(seed)
    shown, rated = logs
    journal, counted = journal_of(rated, random_)
    expected: list[Shown | Rated] = [each for mine in counted for each in in_time_by_source(mine)]
    streams = {("rated", partition): records for partition, records in enumerate(journal)}
    # Users' recommendations are anywhere.
    spread: list[list[Shown]] = [[] for _ in range(LOG_PARTITIONS)]
    for each in shown:
        random_.choice(spread).append(each)
    for partition, mine in enumerate(spread):
        expected += in_time(mine)
        streams["shown", partition] = fetched("shown", [logged(each) for each in mine], partition)
    sizes: dict[str, Any] = {"partitions": PARTITIONS, "log_partitions": LOG_PARTITIONS}
    joined = logs_of(**sizes, standstill=STANDSTILL)
    read = dict.fromkeys(streams, 0)
    while any(read[each] < len(streams[each]) for each in streams):
        name, partition = random_.choice(list(streams))
        # Some records come again.
        start = random_.randint(max(0, read[name, partition] - 3), read[name, partition])
        batch = streams[name, partition][start : start + random_.randint(2, 12)]
        take = joined.take_blocks if name == "rated" else joined.take_recommendations
        if batch:
            take(partition, batch)
        read[name, partition] = max(read[name, partition], start + len(batch))
        if random_.random() < 0.3:
            joined.settle()
        if random_.random() < 0.1:
            state, joined = joined.state(), logs_of(**sizes, standstill=STANDSTILL)
            joined.restore(state)
            assert digest_of(joined) == {name: array.tobytes() for name, array in state.items()}
    assert plain(joined.counts()) == naive(expected)
    late = len(shown) + sum(map(len, counted)) - len(expected)
    assert sum(each.late for each in joined.journal + joined.recommendations) == late
    assert [each.records for each in joined.journal] == [len(mine) for mine in counted]


def digest_of(joined: JoinedLogs) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in joined.state().items()}


def test_a_rating_that_is_in_the_journal_twice_counts_once() -> None:
    joined = logs_of()
    shown_once(joined)
    # The second one would be the outcome of the second list.
    joined.take_recommendations(0, [record("shown", 0, 1, logged(Shown("u", "s", "e", "b", 13.0, ("x",))))])
    value = block(("u", "x", 5, 12.0))
    joined.take_blocks(0, fetched("rated", [value, value, block(("u", "x", 5, 14.0))]))
    assert {key[1]: row for key, row in plain(joined.counts()).items()} == {"a": (1, 1, 1), "b": (1, 0, 0)}
    assert joined.journal[0].records == 1


def test_of_a_users_ratings_of_one_time_the_first_in_the_journal_counts() -> None:
    for values in ((5, 1), (1, 5)):
        joined = logs_of()
        shown_once(joined)
        for offset, value in enumerate(values):
            joined.take_blocks(0, [record("rated", 0, offset, block(("u", "x", value, 12.0), begin=offset))])
        assert one(joined)[1] == (1, 1, values[0] == 5)


def test_ratings_are_compared_as_the_journal_has_them() -> None:
    """In 32 bits, as models learn them."""
    joined = logs_of(feedback=Feedback.parse("graded:3.7"))
    shown_once(joined)
    joined.take_blocks(0, fetched("rated", [block(("u", "x", 3.7, 12.0))]))
    assert one(joined)[1] == (1, 1, 1)


def test_bad_records_of_the_log_are_counted_and_the_first_is_told() -> None:
    joined = logs_of(log_partitions=2)
    good = logged(Shown("u", "r", "e", "a", 10.0, ("x",)))
    lost: list[Any] = [Unreadable("shown", 0, 7, 5, "damaged", None)]
    bad = [b"{}", None, b"\xff", b'{"user": 1}', b"[" * 100_000]
    joined.take_recommendations(0, fetched("shown", bad) + lost)
    joined.take_recommendations(1, fetched("shown", [good], 1))
    progress = joined.recommendations[0]
    assert (progress.records, progress.bad, progress.offset) == (6, 6, 8)
    assert progress.note == "shown[0] offset 0: Object missing required field `user`"
    joined.take_blocks(0, fetched("rated", [block(("u", "x", 5, 12.0))]))
    assert one(joined)[1] == (1, 1, 1)
    again = logs_of(log_partitions=2)
    again.restore(joined.state())
    assert (again.journal, again.recommendations) == (joined.journal, joined.recommendations)


def test_what_is_no_block_ends_the_reading() -> None:
    joined = logs_of()
    shown_once(joined)
    records = fetched("rated", [block(("u", "x", 5, 12.0)), b"nonsense", block(("v", "x", 5, 12.0), begin=1)])
    for _ in range(2):
        with pytest.raises(BlockError, match=r"rated\[0\] offset 1: the record has 8 bytes"):
            joined.take_blocks(0, records)
        assert (joined.journal[0].offset, joined.journal[0].records) == (1, 1)
    assert one(joined)[1] == (1, 1, 1)


def test_a_journal_that_has_lost_its_beginning_is_read_from_there() -> None:
    joined = logs_of()
    shown_once(joined)
    joined.skip_journal(0, 7)
    joined.take_blocks(0, [record("rated", 0, 7, block(("u", "x", 5, 12.0), begin=90))])
    assert (joined.journal[0].offset, one(joined)[1]) == (8, (1, 1, 1))
    # Nothing is lost: what is ahead stays so.
    joined.skip_journal(0, 8)
    joined.take_blocks(0, [record("rated", 0, 8, block(("v", "x", 5, 12.0), begin=95))])
    assert (joined.journal[0].offset, joined.journal[0].records) == (9, 1)


def signs(feedback: Feedback, *ratings: float | None) -> list[int]:
    return signs_of(feedback, np.array(ratings, np.float64)).tolist()  # None becomes NaN


def test_signs() -> None:
    assert signs(GRADED, 0.5, 3.5, 4.0, 5.0, None, 0.0) == [-1, -1, 1, 1, 0, -1]
    assert signs(Feedback.parse("positive:3"), 2.5, 3.0, None) == [-1, 1, 0]
    assert signs(Feedback.parse("signed"), -1.0, 1.0, 0.0, None, 0.5) == [-1, 1, 0, 0, 1]
    assert signs(GRADED) == []
    assert signs_of(GRADED, np.array([4.0])).dtype == np.int8
