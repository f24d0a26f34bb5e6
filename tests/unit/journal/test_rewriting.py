"""Rewriting: the copies are without the forgotten, and who follows from them has what all others keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.journal.block import BEGINS, COMPLETE, Packer, as_copy, is_beginning, mark
from recommender.journal.block_reader import fault_of
from recommender.journal.copies import repeated
from recommender.journal.errors import BlockError
from recommender.journal.forgotten import Forgotten
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.shard.options import ShardOptions
from tests.support.doubles import few
from tests.unit.journal.blocks import Block
from tests.unit.journal.forgetting_setup import (
    SOURCE,
    Event,
    blocks_of,
    events,
    numbered,
    replica_of,
    rewritten,
    rows_of,
    standing,
)

HAPPENED: list[Event] = [
    ("rate", "secret", "i1"),
    ("rate", "ann", "i1"),
    ("rate", "secret", "i2"),
    ("forget", "secret", "*"),
    ("rate", "ann", "i2"),
]
SIZES = [2, 1]
JOURNAL = numbered(blocks_of(HAPPENED, SIZES))
LATER = blocks_of([*HAPPENED, ("rate", "bob", "i1")], [len(HAPPENED)])[1:]


def ids(happened: list[Event]) -> list[str]:
    """Who is forgotten by events and not named after that."""
    last = {}
    for kind, user, item in happened:
        for name in (user, item):
            last[name] = kind, user, item
    return [
        name
        for name, (kind, user, item) in last.items()
        if name != "*" and ((kind == "forget" and user == name) or (kind == "forget item" and item == name))
    ]


@settings(few, max_examples=150)
@given(events(), st.lists(st.integers(1, 4), max_size=8))
def test_what_stands_is_the_same_from_both_beginnings(happened: list[Event], sizes: list[int]) -> None:
    journal = numbered(blocks_of(happened, sizes))
    new = rewritten(journal)
    old = replica_of([*journal, *new])
    again = replica_of(new, new[0].offset)
    assert standing(again) == standing(old)
    assert again.rule.sources == old.rule.sources == {SOURCE: len(happened)}
    assert (again.rule.is_outdated, old.rule.is_outdated) == (False, True)
    copied = b"".join(each.value or b"" for each in new)
    for name in ids(happened):
        assert name.encode() not in copied


@settings(few, max_examples=50)
@given(events(), st.lists(st.integers(1, 4), max_size=8), events())
def test_what_comes_later_is_learned_by_both(
    happened: list[Event], sizes: list[int], more: list[Event]
) -> None:
    journal = numbered(blocks_of(happened, sizes))
    new = rewritten(journal)
    rows, first = rows_of(more, len(happened)), len(happened)
    value = Packer(SOURCE).pack(first, first + len(more), rows, np.arange(first, first + len(more)))
    later = Block(new[-1].offset + 1, value)
    again = replica_of([*new, later], new[0].offset)
    assert standing(again) == standing(replica_of([*journal, *new, later]))
    # From the middle of it all, by its state.
    half = replica_of(new, new[0].offset)
    restored = Replica(Rule("journal"), ShardOptions(test_every=0))
    restored.restore(half.state())
    restored.apply([later])
    assert restored.digest() == again.digest()


def test_a_guest_who_is_forgotten_gives_the_ratings_to_the_user_under_no_ones_name() -> None:
    happened: list[Event] = [
        ("rate", "secret", "i1"),
        ("merge", "ann", "secret"),
        ("rate", "secret", "i2"),
        ("forget", "secret", "*"),
    ]
    new = rewritten(numbered(blocks_of(happened, [1])))
    assert standing(replica_of(new, new[0].offset)) == {"ann": [("i1", 1.0)]}
    assert b"secret" not in b"".join(each.value or b"" for each in new)


def test_who_is_forgotten_takes_along_the_guest_that_they_were() -> None:
    happened: list[Event] = [
        ("rate", "guest", "i1"),
        ("merge", "secret", "guest"),
        ("forget", "secret", "*"),
        ("rate", "guest", "i2"),
    ]
    new = rewritten(numbered(blocks_of(happened, [2])))
    assert standing(replica_of(new, new[0].offset)) == {"guest": [("i2", 4.0)]}
    assert b"secret" not in b"".join(each.value or b"" for each in new)


def test_copies_count_for_those_only_who_follow_from_their_beginning() -> None:
    first, second = rewritten(JOURNAL, 7), rewritten(JOURNAL, 8)
    begin = second[0].offset
    both = [*first, *(each._replace(offset=each.offset + len(first)) for each in second)]
    old = replica_of([*JOURNAL, *both])
    assert old.rule.counts == replica_of(JOURNAL).rule.counts._replace(duplicate=old.rule.counts.duplicate)
    assert old.rule.counts.duplicate == 0
    assert standing(old) == {"ann": [("i1", 2.0), ("i2", 5.0)]}
    one = replica_of(both, begin)
    assert (one.rule.origin, one.rule.counts.duplicate) == (begin, 0)
    assert standing(one) == standing(old)


def test_what_came_meanwhile_is_ahead_until_it_is_copied() -> None:
    new = rewritten(JOURNAL)
    begin = new[0].offset
    # The block of a rating that comes after the mark, and its copy.
    values = [new[0].value, LATER[0], *(each.value for each in new[1:-1]), as_copy(LATER[0], 7)]
    journal = numbered([value for value in values if value is not None], begin)
    again, old = replica_of(journal, begin), replica_of([*JOURNAL, *journal])
    assert (again.rule.counts.ahead, old.rule.counts.ahead) == (1, 0)
    assert standing(again) == standing(old)
    assert again.rule.sources == old.rule.sources


def test_a_follower_is_outdated_from_the_mark_on_that_it_is_complete() -> None:
    new = rewritten(JOURNAL)
    rule = Rule("journal")
    rule.follow([*JOURNAL, *new[:-1]])
    assert (rule.origin, rule.rewritten, rule.is_outdated) == (-1, -1, False)
    assert "rewriting" not in rule.state()
    rule.follow(new[-1:])
    assert (rule.origin, rule.rewritten, rule.is_outdated) == (-1, new[0].offset, True)
    again = Rule("journal")
    again.restore(rule.state())
    assert again.is_outdated
    assert again.hash == rule.hash


def test_a_beginning_in_the_middle_is_none() -> None:
    new = rewritten(JOURNAL)
    rule = Rule("journal")
    rule.follow(JOURNAL[:1])
    rule.skip_to(new[0].offset)
    rule.follow(new)
    assert rule.origin == -1
    assert rule.counts.applied == 1


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (mark(BEGINS, 0), "has flags 0x10 and number 0x0"),
        (as_copy(LATER[0], 0), "and number 0x0"),
        (LATER[0][:6] + b"\x01\x00" + LATER[0][8:], "has flags 0x0 and number 0x1"),
        (mark(3, 7), "a mark of kind 3"),
        (as_copy(mark(BEGINS, 7), 7), "flags 0x18 and 0 rows"),
    ],
)
def test_a_damaged_mark_or_copy_is_refused(value: bytes, fault: str) -> None:
    assert fault in str(fault_of(value))
    with pytest.raises(BlockError, match=fault):
        Rule("journal").follow([Block(0, value)])


def test_marks_are_told_from_blocks() -> None:
    assert is_beginning(mark(BEGINS, 1))
    assert not any(map(is_beginning, [None, b"", LATER[0], as_copy(LATER[0], 1), mark(COMPLETE, 1, 5)]))


def test_nobody_is_forgotten_by_ratings() -> None:
    found, noted = Forgotten(), []
    for first, last in ((0, 3), (3, len(HAPPENED))):
        found.note(rows_of(HAPPENED[first:last]), first)
        noted.append(found.any_noted)
    assert noted == [False, True]
    found.settle()
    assert found.names(rows_of([("rate", "secret", "i1")]))
    assert not found.names(rows_of([("rate", "ann", "secret"), ("merge", "ann", "bob")]))


def test_what_is_written_once_more_of_the_forgotten_is_noticed() -> None:
    forgotten = Forgotten()
    forgotten.note(Rule("journal").follow(JOURNAL).rows, 0)
    forgotten.settle()
    reached = {SOURCE: len(HAPPENED)}
    again = numbered([as_copy(LATER[0], 7), mark(BEGINS, 8), *LATER, *blocks_of(HAPPENED[4:], [])], 100)
    assert repeated(again, reached, forgotten) is None
    again += numbered(blocks_of(HAPPENED, SIZES), 200)
    assert repeated(again, reached, forgotten) == 200
    # Whoever is new under the same id is not concerned, nor what was not copied.
    assert repeated(again[-1:], {SOURCE: 3}, forgotten) is None
    assert repeated(again, {}, forgotten) is None
