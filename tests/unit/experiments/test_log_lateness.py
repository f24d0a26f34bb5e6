"""Logs that stand still, lag behind or come later: what is late, and what stays in memory."""

from __future__ import annotations

import pytest

from tests.unit.experiments.join_logs import (
    LATENESS,
    SOURCES,
    block,
    fetched,
    logged,
    logs_of,
    one,
    record,
    shown_once,
)
from tests.unit.experiments.joins import WINDOW, Shown, plain


def test_a_clock_that_is_wrong_makes_no_others_late() -> None:
    joined = logs_of()
    shown_once(joined)
    value = block(("v", "x", 5, 1e9), ("u", "x", 5, 12.0))
    joined.take_blocks(0, [record("rated", 0, 0, value, 13_000)])
    assert joined.journal[0].late == 0
    assert one(joined)[1] == (1, 1, 1)


def test_memory_is_bounded_by_window_and_lateness() -> None:
    # The second partition of the log has nothing.
    joined = logs_of(log_partitions=2, standstill=LATENESS, settle_rows=20)
    held = []
    for number in range(2000):
        time = float(number)
        value = logged(Shown(f"u{number % 7}", f"r{number}", "e", "a", time, ("x",)))
        joined.take_recommendations(0, [record("shown", 0, number, value, int(1e9))])
        value = block((f"u{number % 7}", "x", 5, time + 0.5), begin=number)
        joined.take_blocks(0, [record("rated", 0, number, value, int(1e9))])
        if joined.has_grown:
            joined.settle(joined.recommendations[1:])
        held.append(len(joined))
    assert max(held) < 4 * (WINDOW + 2 * LATENESS) + 40
    assert sum(row[1] for row in plain(joined.counts()).values()) == 2000


@pytest.mark.parametrize("silent", ["ratings", "recommendations"])
def test_a_log_that_stands_still_does_not_hold_the_other_in_memory(silent: str) -> None:
    joined = logs_of(standstill=20.0)
    for number in range(200):
        if silent == "ratings":
            value = logged(Shown("u", f"r{number}", "e", "a", float(number), ("x",)))
            joined.take_recommendations(0, [record("shown", 0, number, value)])
        else:
            value = block(("u", "x", 5, float(number)), begin=number)
            joined.take_blocks(0, [record("rated", 0, number, value)])
        joined.settle_at_ends()
        assert len(joined) <= 20 + WINDOW + LATENESS + 2
    begin = joined.journal[0].records
    # What comes then, from now, counts.
    value = logged(Shown("u", "new", "e", "b", 200.0, ("x",)))
    joined.take_recommendations(0, [record("shown", 0, 500, value)])
    joined.take_blocks(0, [record("rated", 0, 500, block(("u", "x", 5, 201.0), begin=begin))])
    assert plain(joined.counts())["e", "b", "exploit", 0, "u"] == (1, 1, 1)
    # What comes from long ago is late: its time was settled.
    joined.take_blocks(0, [record("rated", 0, 501, block(("u", "x", 5, 100.0), begin=begin + 1))])
    assert joined.journal[0].late == 1


def test_a_backlog_that_is_written_in_turns_is_not_late() -> None:
    """However much time a turn is of: nobody stood still while the journal was written."""
    joined = logs_of(window=1000.0, standstill=20.0)
    for number in range(4):
        user = f"u{number}"
        joined.take_recommendations(
            0, [record("shown", 0, number, logged(Shown(user, "r", "e", "a", 1.0, ("x",))))]
        )
    blocks = [
        block(
            (f"u{turn}", "x", 5, 2.0 + 50 * turn),
            ("v", "x", 5, 50.0 + 50 * turn),
            begin=2 * turn,
            source=source,
        )
        for turn in range(4)
        for source in SOURCES
    ]
    joined.take_blocks(0, fetched("rated", blocks))
    assert (joined.journal[0].late, joined.journal[0].frontier) == (0, 200.0)
    assert len(plain(joined.counts())) == sum(row[1] for row in plain(joined.counts()).values()) == 4


def test_of_a_source_that_comes_later_what_is_older_than_what_is_settled_is_late() -> None:
    joined = logs_of()
    shown_once(joined, time=100.0)
    joined.take_blocks(0, fetched("rated", [block(("u", "x", 5, 101.0))]))
    joined.settle_at_ends()
    state, joined = joined.state(), logs_of()
    joined.restore(state)
    settled = 100.0 - LATENESS
    times = (settled - 0.5, settled, 100.0)
    value = block(*(("v", "x", 5.0, time) for time in times), source=SOURCES[2])
    joined.take_blocks(0, [record("rated", 0, 1, value)])
    assert (joined.journal[0].late, joined.journal[0].records) == (1, 4)


def test_the_log_may_get_partitions_between_two_reports() -> None:
    joined = logs_of()
    shown_once(joined, time=100.0)
    joined.take_blocks(0, fetched("rated", [block(("u", "x", 5, 101.0))]))
    joined.settle_at_ends()
    state, joined = joined.state(), logs_of(log_partitions=2)
    joined.restore(state)
    settled = 100.0 - LATENESS
    lists = [Shown("v", f"r{time}", "e", "a", time, ("x",)) for time in (settled - 0.5, settled, 100.0)]
    joined.take_recommendations(1, fetched("shown", [logged(each) for each in lists], 1))
    assert (joined.recommendations[1].late, joined.recommendations[1].records) == (1, 3)
    joined.settle_at_ends()
    assert sum(row[0] for row in plain(joined.counts()).values()) == 3
