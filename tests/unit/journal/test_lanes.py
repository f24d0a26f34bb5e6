"""Lanes: what may be committed, when it is gone back, and where somebody begins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.journal.block import Source
from recommender.journal.errors import SourceShorter
from recommender.journal.lanes import Lane, start_offset
from tests.support.doubles import few
from tests.unit.journal.blocks import TOPIC

SOURCE = Source(TOPIC, 3)


def test_only_what_is_answered_in_order_may_be_committed() -> None:
    lane = Lane(SOURCE, 10)
    first, second, third = (lane.send(end) for end in (20, 25, 40))
    assert (lane.next, lane.acked, lane.in_flight) == (40, 10, True)
    lane.answer(second, 0, 7)
    assert lane.acked == 10
    lane.answer(first, 0, 6)
    assert lane.acked == 25
    lane.answer(third, 0, 8)
    assert (lane.acked, lane.in_flight, lane.stopped) == (40, False, False)


def test_of_several_partitions_all_must_answer() -> None:
    lane = Lane(SOURCE, 0, 3)
    flight = lane.send(5)
    for partition in (2, 0):
        lane.answer(flight, partition, 1)
    assert lane.acked == 0
    lane.answer(flight, 1, 9)
    assert lane.acked == 5


def test_nothing_behind_a_failed_block_may_be_committed() -> None:
    lane = Lane(SOURCE, 0)
    flights = [lane.send(end) for end in (1, 2, 3)]
    lane.answer(flights[0], 0, 1)
    lane.answer(flights[2], 0, 2)
    assert not lane.stopped
    lane.answer(flights[1], 0, None)
    assert (lane.acked, lane.stopped, lane.in_flight) == (1, True, False)
    assert lane.restart_offset({}) == 1
    lane.restart(1)
    assert (lane.next, lane.acked, lane.stopped) == (1, 1, False)
    lane.answer(lane.send(3), 0, 3)
    assert lane.acked == 3


@few
@given(
    st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=12), st.permutations(range(12))
)
def test_answers_may_come_in_any_order(good: list[bool], order: list[int]) -> None:
    lane = Lane(SOURCE, 0)
    flights = [lane.send(place + 1) for place in range(len(good))]
    for place in order:
        if place < len(good):
            lane.answer(flights[place], 0, place if good[place] else None)
    assert lane.acked == (good.index(False) if False in good else len(good))
    assert lane.stopped == (False in good)
    assert not lane.in_flight


def test_what_is_acknowledged_and_not_applied_is_noticed() -> None:
    lane = Lane(SOURCE, 0)
    first = lane.send(5)
    assert lane.check(0, 100, 0)  # nothing is known of it yet
    lane.answer(first, 0, 7)
    assert lane.check(0, 7, 0)  # not followed so far
    assert not lane.is_followed(0, 7)
    assert lane.check(0, 8, 5)
    assert lane.is_followed(0, 8)
    assert not lane.check(0, 8, 4)
    assert lane.stopped
    assert lane.restart_offset({0: 4}) == 4


def test_whoever_follows_a_part_begins_no_later_than_what_was_answered() -> None:
    lane = Lane(SOURCE, 0, 2)
    flight = lane.send(5)
    for partition in range(2):
        lane.answer(flight, partition, 1)
    assert lane.restart_offset({0: 9, 1: 7}) == 7
    assert lane.restart_offset({0: 9}) == 5
    assert lane.restart_offset({1: 3}) == 3
    assert lane.restart_offset({}) == 5


def test_a_gap_is_believed_when_it_is_read_again() -> None:
    lane = Lane(SOURCE, 10)
    assert lane.believes(10)
    assert lane.believes(3)
    assert not lane.believes(12)
    assert not lane.believes(13)
    assert lane.believes(13)
    lane.send(15)
    assert not lane.believes(16)
    lane.restart(15)
    assert not lane.believes(16)
    assert lane.believes(16)


@pytest.mark.parametrize(
    ("committed", "applied", "followed_to_end", "start"),
    [
        (None, None, False, 0),
        (7, None, False, 7),
        (None, 5, True, 5),
        (7, 5, False, 7),  # it may be applied, and not followed yet
        (7, 5, True, 5),  # it was acknowledged, and is not there
        (5, 7, False, 7),
        (5, 7, True, 7),
    ],
)
def test_where_an_owner_begins(
    committed: int | None, applied: int | None, followed_to_end: bool, start: int
) -> None:
    assert start_offset("ratings[3]", committed, applied, 9, followed_to_end=followed_to_end) == start


def test_a_source_that_was_truncated_is_refused() -> None:
    with pytest.raises(
        SourceShorter, match=r"ratings\[3\] ends at offset 6, but offset 7 comes next: the topic"
    ):
        start_offset("ratings[3]", None, 7, 6, followed_to_end=True)
