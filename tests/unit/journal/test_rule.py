"""The rule: a whole fetch in one pass comes to what the blocks one by one come to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.journal.block import Source
from recommender.journal.errors import BlockError, JournalReplaced
from recommender.journal.outcome import Counts, Followed
from recommender.journal.rule import UNKNOWN, Rule, warm
from recommender.journal.rule_kernels import AHEAD, APPLIED, CUT, DUPLICATE, PASSED
from tests.support.doubles import few
from tests.unit.journal.blocks import (
    OTHER,
    TOPIC,
    Applied,
    Block,
    PlainRule,
    Row,
    damaged,
    listed,
    packed,
    rows,
)

SOURCES = [Source(TOPIC, 0), Source(TOPIC, 3), Source(OTHER, 0)]
NAMES = {PASSED: "passed", APPLIED: "applied", CUT: "cut", DUPLICATE: "duplicate", AHEAD: "ahead"}


@st.composite
def journals(draw: st.DrawFn) -> list[Block]:
    """Blocks of ranges that mostly continue, repeat or skip what came before, of several sources."""
    logs = {source: draw(rows(most=12)) for source in SOURCES}
    places = dict.fromkeys(SOURCES, 0)
    found, offset = [], 0
    for _ in range(draw(st.integers(1, 14))):
        source = draw(st.sampled_from(SOURCES))
        begin = max(places[source] + draw(st.sampled_from([0, 0, 0, 0, -1, -3, 1, 2])), 0)
        end = begin + draw(st.integers(0, 7))
        inside = [row for row in logs[source] if begin <= row.offset < end]
        offset += draw(st.sampled_from([0, 0, 0, 1, 3]))
        stamp = 1000 + offset + draw(st.sampled_from([0, 0, -7, 7]))  # each writer has its own clock
        found.append(Block(offset, packed(inside, begin, end, source), stamp))
        offset += 1
        places[source] = draw(st.sampled_from([end, end, end, places[source]]))
    return found


@st.composite
def fetches(draw: st.DrawFn, journal: list[Block]) -> list[list[Block]]:
    """A journal as it is fetched; some records come again."""
    found, place = [], 0
    while place < len(journal):
        first = max(place - draw(st.sampled_from([0, 0, 0, 1, 4])), 0)
        place = min(place + draw(st.integers(1, 6)), len(journal))
        found.append(journal[first:place])
    return found


def plain(journal: list[Block]) -> PlainRule:
    rule = PlainRule()
    for each in journal:
        rule.step(each)
    return rule


def taken(followed: list[Followed]) -> list[tuple[str, str, float | None, float]]:
    return [row for each in followed for row in listed(each.rows)]


def without_place(applied: list[Applied]) -> list[tuple[str, str, float | None, float]]:
    return [(each.user, each.item, each.rating, each.time) for each in applied]


@settings(few, max_examples=100)
@given(st.data(), journals())
def test_it_is_the_rule_block_by_block(data: st.DataObject, journal: list[Block]) -> None:
    rule, oracle = Rule("journal"), PlainRule()
    for fetch in data.draw(fetches(journal)):
        before = dict(oracle.applied)
        oracle.outcomes.clear()
        first = len(oracle.out)
        for each in fetch:
            oracle.step(each)
        followed = rule.follow(fetch)
        assert listed(followed.rows) == without_place(oracle.out[first:])
        assert followed.rows.ratings.dtype == np.float32
        assert followed.rows.plain.all()
        assert followed.error is None
        assert [NAMES[each] for each in followed.outcomes.tolist()] == oracle.outcomes
        assert followed.taken.sum() == len(oracle.out) - first
        origins = [followed.origin(row) for row in range(len(oracle.out) - first)]
        assert origins == [(each.source, each.offset) for each in oracle.out[first:]]
        moved = {source: to for source, to in oracle.applied.items() if to != before.get(source, 0)}
        assert followed.applied == moved
        assert rule.position == oracle.position
        assert rule.timestamp == max(each.timestamp for each in journal if each.offset < rule.position)
    assert rule.sources == oracle.applied
    whole = plain(journal).outcomes
    counts = {name: whole.count(name) for name in ("applied", "cut", "duplicate", "ahead")}
    counts["applied"] += counts["cut"]
    assert rule.counts == Counts(**counts, rows=len(oracle.out))


@few
@given(st.data(), journals())
def test_the_state_is_that_of_the_journal_however_it_was_fetched_and_restored(
    data: st.DataObject, journal: list[Block]
) -> None:
    expected = Rule("journal")
    expected.follow(journal)
    rule, followed = Rule("journal"), []
    for fetch in data.draw(fetches(journal)):
        if data.draw(st.booleans()):
            again = Rule("journal")
            again.restore(rule.state())
            rule = again
        followed.append(rule.follow(fetch))
    assert taken(followed) == without_place(plain(journal).out)
    mine, theirs = rule.state(), expected.state()
    assert mine.keys() == theirs.keys()
    for name, array in mine.items():
        assert array.dtype == theirs[name].dtype
        assert array.tobytes() == theirs[name].tobytes()
        assert array.shape == theirs[name].shape


@few
@given(st.data(), journals(), st.integers(0, 13))
def test_it_stops_at_what_it_cannot_read(data: st.DataObject, journal: list[Block], place: int) -> None:
    place %= len(journal)
    value = data.draw(st.one_of(st.none(), damaged(journal[place].value or b"")))
    journal = [*journal[:place], journal[place]._replace(value=value), *journal[place + 1 :]]
    oracle = PlainRule()
    try:
        for each in journal:
            oracle.step(each)
    except BlockError as error:
        said = str(error)
    else:
        assert taken([Rule("journal").follow(journal)]) == without_place(oracle.out)
        return
    rule, followed = Rule("journal"), []
    if place:
        followed.append(rule.follow(journal))
        assert str(followed[0].error) == said
        assert len(followed[0].outcomes) == place
    assert taken(followed) == without_place(oracle.out)
    for _ in range(2):
        with pytest.raises(BlockError) as caught:
            rule.follow(journal[place:])
        assert str(caught.value) == said
    assert rule.position == (journal[place - 1].offset + 1 if place else 0)


def test_what_was_followed_is_passed_over_even_if_it_is_damaged_now() -> None:
    rule = Rule("journal")
    first = Block(0, packed([Row(0, "a", "x", 1.0, 0.0)], 0, 1))
    second = Block(1, packed([Row(1, "b", "x", 1.0, 0.0)], 1, 2))
    rule.follow([first])
    followed = rule.follow([Block(0, b"damaged"), second])
    assert listed(followed.rows) == [("b", "x", 1.0, 0.0)]
    assert followed.outcomes.tolist() == [PASSED, APPLIED]


def test_many_sources() -> None:
    rule, sources = Rule("journal"), [Source(TOPIC, partition) for partition in range(500)]
    for turn in range(3):
        of = [
            packed([Row(turn, f"u{source.partition}", "x", 1.0, 0.0)], turn, turn + 1, source)
            for source in sources
        ]
        followed = rule.follow([Block(500 * turn + place, value) for place, value in enumerate(of)])
        assert followed.applied == dict.fromkeys(sources, turn + 1)
        assert followed.rows.ids(0) == [f"u{each}" for each in range(500)]
    assert rule.sources == dict.fromkeys(sources, 3)
    assert rule.applied(Source(TOPIC, 99)) == 3
    assert rule.applied(Source(TOPIC, 999)) == 0


def test_the_hash_tells_journals_apart() -> None:
    def hashed(*blocks: Block) -> int:
        rule = Rule("journal")
        rule.follow(blocks)
        return rule.hash

    a = packed([Row(0, "a", "x", 1.0, 0.0)], 0, 1)
    b, longer = packed([], 1, 2), packed([], 1, 3)
    found = [
        hashed(Block(0, a)),
        hashed(Block(1, a)),
        hashed(Block(0, a), Block(1, b)),
        hashed(Block(0, a), Block(2, b)),
        hashed(Block(0, a), Block(1, longer)),
        hashed(Block(0, b), Block(1, a)),
        hashed(Block(0, a), Block(1, packed([], 1, 2, Source(TOPIC, 1)))),
        hashed(Block(0, a), Block(1, packed([], 1, 2, decoder=1))),
    ]
    assert len(set(found)) == len(found)
    # Workers of two versions compare theirs.
    assert found[2] == 0x3B088C85CA211AFE


def test_only_ratings_of_the_decoders_that_are_expected() -> None:
    rule = Rule("ratings-journal", decoders=[3, 2**64 - 1])
    known = [Block(0, packed([], 0, 1, decoder=2**64 - 1)), Block(1, packed([], 1, 2, decoder=3))]
    followed = rule.follow([*known, Block(2, packed([], 2, 3, decoder=4))])
    assert followed.outcomes.tolist() == [APPLIED, APPLIED]
    assert str(followed.error).startswith(
        "ratings-journal[0] offset 2: the block has ratings of decoder 0x4, expected 0x3, 0xffffffffffffffff:"
    )


def test_after_a_gap_in_the_journal_the_next_block_of_each_source_counts() -> None:
    rule = Rule("journal")
    rule.follow([Block(0, packed([], 0, 4)), Block(1, packed([], 0, 4, SOURCES[1]))])
    rule.skip_to(10)
    restored = Rule("journal")
    restored.restore(rule.state())
    for each in (rule, restored):
        followed = each.follow(
            [
                Block(9, packed([], 4, 5)),  # below the position
                Block(10, packed([Row(7, "a", "x", 1.0, 0.0)], 7, 8)),
                Block(11, packed([], 9, 10)),
                Block(12, packed([Row(2, "b", "x", 1.0, 0.0)], 2, 3, SOURCES[1])),
                Block(13, packed([Row(9, "c", "x", 1.0, 0.0)], 8, 10, SOURCES[1])),
                Block(14, packed([Row(50, "d", "x", 1.0, 0.0)], 50, 51, SOURCES[2])),
                Block(15, packed([], 60, 61, SOURCES[2])),
            ]
        )
        assert followed.outcomes.tolist() == [PASSED, APPLIED, AHEAD, DUPLICATE, AHEAD, APPLIED, AHEAD]
        assert followed.applied == {SOURCES[0]: 8, SOURCES[2]: 51}


def test_a_state_of_another_journal_is_refused() -> None:
    saved = Rule("ratings-journal", journal_id=TOPIC).state()
    with pytest.raises(
        JournalReplaced, match="'ratings-journal' was deleted and created again: its id is 64656667-"
    ):
        Rule("ratings-journal", journal_id=OTHER).restore(saved)
    with pytest.raises(
        JournalReplaced, match=r"\[1\] of 2 partitions: the saved state is of partition 0 of 1"
    ):
        Rule("ratings-journal", 1, 2, TOPIC).restore(saved)
    same = Rule("ratings-journal")
    same.restore(saved)
    assert same.journal_id == TOPIC
    known = Rule("ratings-journal", journal_id=TOPIC)
    known.restore(Rule("ratings-journal").state())
    assert known.journal_id == TOPIC


def test_warming_leaves_nothing_behind() -> None:
    warm()
    rule = Rule("journal")
    assert (rule.position, rule.hash, rule.sources, rule.journal_id) == (0, 0, {}, UNKNOWN)
