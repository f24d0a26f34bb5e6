"""A replica: its state is the journal's, and says how far it has followed."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.journal.block import Source
from recommender.journal.errors import BlockError
from recommender.journal.replica import Replica
from recommender.shard.options import ShardOptions
from recommender.shard.query import AsOf
from tests.support.doubles import fewer
from tests.support.journals import SOURCE, Journal, journal_of, ratings
from tests.support.learning_setup import rule, single_pass
from tests.unit.journal.blocks import Block

OTHER = Source(SOURCE.topic_id, 4)


def new() -> Replica:
    return Replica(rule(), ShardOptions("item-knn"))


def test_it_says_what_it_knows_of() -> None:
    replica, journal = new(), Journal()
    assert replica.as_of(None) == AsOf(0, -1, -1)
    assert replica.as_of(OTHER) == AsOf(4, -1, -1)
    journal.add(ratings(0, 3))
    journal.add([], OTHER)
    journal.add(ratings(3, 2), OTHER)
    replica.apply(journal.blocks)
    assert replica.as_of(SOURCE) == AsOf(0, 2, 2)
    assert replica.as_of(OTHER) == AsOf(4, 1, 2)
    assert replica.as_of(Source(bytes(16), 0)) == AsOf(0, -1, 2)
    assert (replica.position, replica.applied) == (3, {SOURCE: 3, OTHER: 2})
    assert (str(replica), replica.partition) == ("ratings-journal[0]", 0)


def test_nobody_is_told_of_what_is_not_learned_yet() -> None:
    replica, journal = new(), journal_of([4, 3])
    followed = replica.follow(journal.blocks)
    replica.learn(followed, 0, 2)
    assert (replica.position, replica.as_of(SOURCE)) == (0, AsOf(0, -1, -1))
    replica.learn(followed, 2, 7)
    replica.finish(followed)
    assert (replica.position, replica.as_of(SOURCE)) == (2, AsOf(0, 6, 1))
    assert replica.digest() == single_pass(journal.blocks, ShardOptions("item-knn")).digest()


@fewer
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 12))
@example([0, 3], 1)  # a source of which nothing is applied yet is known
def test_what_is_restored_goes_on_as_if_it_had_never_stopped(sizes: list[int], stop: int) -> None:
    journal = journal_of(sizes)
    stop = min(stop, len(sizes))
    whole, first, second = new(), new(), new()
    whole.apply(journal.blocks)
    if stop:
        first.apply(journal.blocks[:stop])
    second.restore(first.state())
    assert (second.position, second.applied, second.digest()) == (stop, first.applied, first.digest())
    second.apply(journal.blocks)
    assert second.digest() == whole.digest()
    assert second.applied == whole.applied


def test_equal_ratings_of_another_journal_are_another_state() -> None:
    """The place in the journal belongs to the state: digests are compared at one offset."""
    one, two = new(), new()
    one.apply(journal_of([4, 3]).blocks)
    two.apply(journal_of([7]).blocks)
    assert one.shard.digest() == two.shard.digest()
    assert one.digest() != two.digest()


def test_before_a_block_that_cannot_be_read_all_is_learned() -> None:
    replica, journal = new(), journal_of([4])
    with pytest.raises(BlockError):
        replica.apply([*journal.blocks, Block(1, b"")])
    assert replica.digest() == single_pass(journal.blocks, ShardOptions("item-knn")).digest()
