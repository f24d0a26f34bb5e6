"""Counts by hour, compared with counting one by one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages.ratings import BadMessage, Rating
from recommender.messages.requests import decode_request
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.trending import HOUR, PIECES, HourlyCounts
from tests.support.doubles import few

NOW = 1_000 * HOUR

events = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 30).map(lambda ago: NOW - ago * HOUR / 2)), min_size=1
)


@few
@given(st.lists(events, max_size=5), st.integers(1, 12), st.integers(1, 12))
def test_sums_are_what_counting_gives(batches: list[list[tuple[int, float]]], kept: int, asked: int) -> None:
    counts = HourlyCounts(kept)
    for batch in batches:
        items, times = zip(*batch, strict=True)
        counts.add(np.array(items, np.int32), np.array(times), NOW)
    given_events = [each for batch in batches for each in batch]
    newest = max((math.floor(time / HOUR) for _, time in given_events), default=0)
    expected = [
        sum(
            item == each and math.floor(time / HOUR) > newest - min(asked, kept)
            for each, time in given_events
        )
        for item in range(6)
    ]
    assert counts.sums(min(asked, kept), 6).tolist() == expected


def test_many_pieces_and_times_that_are_none() -> None:
    counts = HourlyCounts(24)
    for number in range(3 * PIECES):
        counts.add(np.array([number % 3, 7], np.int32), np.array([NOW, NOW]), NOW)
    wrong = np.array([math.nan, -1.0, NOW + 2 * HOUR, math.inf])
    counts.add(np.zeros(4, np.int32), wrong, NOW)
    assert counts.sums(24, 8).tolist() == [PIECES, PIECES, PIECES, 0, 0, 0, 0, 3 * PIECES]
    assert counts.pieces <= PIECES + 1


def test_a_list_of_a_window() -> None:
    shard = Shard(ShardOptions(model="popular"))
    shard.learn([Rating("u", item, 5.0, None) for item in ("a", "b", "c")], [0.0, 1.0, 2.0])
    request = decode_request(b'{"popular": true, "window": "1d", "exclude": ["b"]}')
    assert request.window == 24
    response = shard.recommend(request, sums=np.array([1.0, 5.0, 2.0]))
    assert [(each.item, each.score) for each in response.items] == [("c", 2.0), ("a", 1.0)]
    assert shard.recommend(request, sums=np.zeros(3)).items == []


@pytest.mark.parametrize("window", ["", "24", "0h", "1000h", "h", "-1h", "1.5h", "24h ", 24, ["1h"]])
def test_what_is_no_window(window: object) -> None:
    with pytest.raises(BadMessage, match=r"^window must be 1 to 999 hours or days"):
        decode_request(json.dumps({"popular": True, "window": window}).encode())
    with pytest.raises(BadMessage, match="`window`"):
        decode_request(b'{"user": "1", "window": "1h"}')
