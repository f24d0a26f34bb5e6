"""A rewriting that does not catch up asks writers to hold: for a moment, and nothing depends on it."""

from __future__ import annotations

import asyncio

import pytest

from recommender.journal.block import BEGINS, COMPLETE, HOLD, mark
from recommender.journal.holding import HOLD_SECONDS, Holding
from recommender.journal.rule import Rule
from tests.unit.journal.blocks import Block
from tests.unit.journal.writer_setup import SOURCE, Ingest, Journal, append, writing

NOW = 1_000_000.0


def held(seconds_ago: float = 0.0) -> Rule:
    """A rule that has followed a mark of that age."""
    rule = Rule("journal")
    rule.follow([Block(0, mark(BEGINS, 7)), Block(1, mark(HOLD, 7), int((NOW - seconds_ago) * 1000))])
    return rule


async def test_nothing_is_written_until_the_rewriting_is_complete() -> None:
    journal, rule = Journal(), held()
    writer = writing(journal, Ingest(), rules=lambda: [rule], clock=lambda: NOW)
    writer.begin(SOURCE, 0)
    assert await append(writer, 0, 2)  # it has not looked yet, which does no harm
    writer.followed()
    waiting = asyncio.create_task(append(writer, 2, 4))
    for _ in range(20):
        await asyncio.sleep(0)
    writer.followed()
    journal.answer(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert journal.ranges() == [(0, 2)]
    rule.follow([Block(2, mark(COMPLETE, 7, 0), int(NOW * 1000))])
    writer.followed()
    assert await waiting
    assert journal.ranges() == [(0, 2), (2, 4)]


async def test_who_waits_gives_a_source_away_at_once() -> None:
    journal, rule = Journal(), held()
    writer = writing(journal, Ingest(), rules=lambda: [rule], clock=lambda: NOW)
    writer.begin(SOURCE, 0)
    writer.followed()
    waiting = asyncio.create_task(append(writer, 0, 2))
    await asyncio.sleep(0)
    await writer.revoke([SOURCE], 0.01)
    assert not await waiting
    assert journal.ranges() == []


@pytest.mark.parametrize("ago", [0.0, -20.0, 20.0])
def test_it_is_for_so_long_only_if_the_rewriting_dies(ago: float) -> None:
    passed = [100.0]
    holding = Holding(lambda: NOW, lambda: passed[0])
    assert holding.left() == 0.0
    holding.look([held(ago)])
    assert holding.left() == HOLD_SECONDS
    passed[0] += HOLD_SECONDS - 1
    holding.look([held(ago)])  # the same mark holds only once
    assert holding.left() == 1.0
    passed[0] += 1
    assert holding.left() == 0.0


@pytest.mark.parametrize("ago", [3600.0, -3600.0])
def test_a_mark_that_is_read_again_later_holds_nobody(ago: float) -> None:
    holding = Holding(lambda: NOW, lambda: 100.0)
    holding.look([held(ago)])
    assert holding.left() == 0.0


def test_the_mark_is_no_part_of_what_is_learned() -> None:
    rule = held()
    assert rule.hold == NOW * 1000
    other = Rule("journal")
    other.restore(rule.state())
    assert (other.hold, other.hash, other.sources) == (-1, rule.hash, rule.sources)
