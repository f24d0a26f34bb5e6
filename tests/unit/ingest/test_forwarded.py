"""Forwarded ratings: each is first once, in whatever order a run of them arrives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.forwarded import KEPT, Forwarded


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 60)), max_size=200), st.integers(0, 200))
def test_each_is_first_once(arrivals: list[tuple[int, int]], restart: int) -> None:
    seen, forwarded = set[tuple[int, int]](), Forwarded()
    for number, arrival in enumerate(arrivals):
        if number == restart:
            restored = Forwarded()
            restored.restore(forwarded.state())
            forwarded = restored
        assert forwarded.is_first(*arrival) == (arrival not in seen)
        seen.add(arrival)


def test_one_that_was_lost_counts_when_it_comes_after_later_ones() -> None:
    forwarded = Forwarded()
    assert [forwarded.is_first(0, offset) for offset in (4, 6, 7)] == [True] * 3
    assert [forwarded.is_first(0, offset) for offset in (4, 5, 6, 7)] == [False, True, False, False]


def test_what_is_older_than_all_that_is_remembered_has_been_here() -> None:
    forwarded = Forwarded()
    assert all(forwarded.is_first(3, offset) for offset in range(KEPT + 10))
    assert len(forwarded.state()) == KEPT
    assert not forwarded.is_first(3, 9)
    assert forwarded.reached() == {3: KEPT + 10}
    assert forwarded.is_first(3, KEPT + 10)
