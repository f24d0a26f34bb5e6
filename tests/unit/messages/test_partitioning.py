"""A user's partition is the one that Kafka's producers choose for the user's id as key."""

from __future__ import annotations

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages.partitioning import partition_of
from tests.support.doubles import few

#: Hashes from the tests of Kafka's own Java client.
JAVA = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}


@pytest.mark.parametrize(("user", "hash_"), JAVA.items())
@pytest.mark.parametrize("partitions", [2, 3, 6, 16, 1000, 4096])
def test_it_is_javas(user: str, hash_: int, partitions: int) -> None:
    assert partition_of(user, partitions) == (hash_ & 0x7FFFFFFF) % partitions


@few
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.integers(1, 64))
def test_it_is_another_clients(user: str, partitions: int) -> None:
    every = list(range(partitions))
    assert partition_of(user, partitions) == DefaultPartitioner()(user.encode(), every, every)


def test_users_spread_over_all_partitions() -> None:
    users = random.Random(1).sample(range(10**6), 3000)
    counts = [0] * 6
    for user in users:
        counts[partition_of(str(user), 6)] += 1
    assert min(counts) > 350
