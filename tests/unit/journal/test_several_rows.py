"""Records that give several ratings, and sources that are mapped: blocks, the rule, and its state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.rows import Rows
from recommender.journal import block_kernels
from recommender.journal.block import Packer, Source, head_of
from recommender.journal.block_kernels import OFFSETS, SEVERAL
from recommender.journal.block_reader import fault_of, read
from recommender.journal.errors import BlockError
from recommender.journal.fingerprint import LOW, fingerprint, of_source
from recommender.journal.rule import Rule
from tests.support.doubles import few
from tests.unit.journal.blocks import TOPIC, Block

SOURCE = Source(TOPIC, 7)
SCALE = fingerprint(0.5, 5.0, skips=False)


def rows_of(count: int) -> Rows:
    """So many ratings of different users."""
    text = "".join(f"{number:04d}i" for number in range(count)).encode()
    begins = 5 * np.arange(count)
    spans = np.stack([begins, begins + 4, begins + 4, begins + 5], axis=1)
    times = np.arange(count, dtype=np.float64)
    return Rows(np.frombuffer(text, np.uint8), spans, np.ones(count), times, np.ones(count, np.bool_))


def blocks_of(sizes: list[int], decoder: int = SCALE, most: int = 1000) -> list[bytes]:
    """The blocks of records that give so many ratings each, from offset 0 on."""
    offsets = np.repeat(np.arange(len(sizes)), sizes)
    packer = Packer(SOURCE, decoder, most=most)
    return [value for _, (value,) in packer.pack_range(0, len(sizes), rows_of(int(sum(sizes))), offsets)]


def is_whole(value: bytes) -> bool:
    text = np.frombuffer(value, np.uint8)
    return bool(block_kernels.is_whole(text, 0, len(text)))


@few
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20), st.integers(4, 9))
def test_a_records_ratings_are_in_one_block(sizes: list[int], most: int) -> None:
    values = blocks_of(sizes, most=most)
    found = [read(value, "journal", 0, 0) for value in values]
    assert all(map(is_whole, values))
    assert [each.head.begin for each in found] == [0, *(each.head.end for each in found[:-1])]
    assert found[-1].head.end == len(sizes)
    assert all(each.head.rows <= most for each in found)
    offsets = np.concatenate([each.offsets for each in found])
    assert offsets.tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()
    for each in found:
        several = len(set(each.offsets.tolist())) < each.head.rows
        assert bool(each.head.flags & SEVERAL) == several


def test_ratings_without_company_are_written_as_before() -> None:
    (value,) = blocks_of([1, 1, 1])
    assert head_of(value).flags == 0
    (value,) = blocks_of([1, 0, 1])
    assert head_of(value).flags == OFFSETS


def test_as_many_ratings_as_offsets_but_not_one_each() -> None:
    (value,) = blocks_of([2, 0])
    assert head_of(value).flags == OFFSETS | SEVERAL
    assert read(value, "journal", 0, 0).offsets.tolist() == [0, 0]


def test_a_record_with_more_ratings_than_a_block_has_is_refused() -> None:
    with pytest.raises(ValueError, match="source offset 1 has more than 3 rows"):
        blocks_of([1, 4], most=3)


@pytest.mark.parametrize("flags", [OFFSETS, SEVERAL])
def test_offsets_that_are_equal_need_both_flags(flags: int) -> None:
    (value,) = blocks_of([2, 1])
    wrong = value[:4] + flags.to_bytes(2, "little") + value[6:]
    assert not is_whole(wrong)
    assert fault_of(wrong) is not None
    with pytest.raises(BlockError):
        Rule("journal").follow([Block(0, wrong)])


def test_a_block_that_is_cut_counts_whole_records() -> None:
    rule = Rule("journal", decoders=[SCALE])
    first, second = blocks_of([2, 1])[0], blocks_of([2, 1, 3])[0]
    assert len(rule.follow([Block(0, first)]).rows.ratings) == 3
    followed = rule.follow([Block(1, second)])
    assert followed.rows.ids(0) == ["0003", "0004", "0005"]
    assert [followed.origin(row) for row in range(3)] == [(SOURCE, 2)] * 3


def test_a_source_may_be_mapped_in_another_way_but_not_on_another_scale() -> None:
    rule = Rule("journal", decoders=[SCALE])
    before = rule.state()
    assert "mapped" not in before
    rule.follow([Block(0, blocks_of([1], SCALE)[0])])
    assert rule.decoder(SOURCE) == 0
    assert set(rule.state()) == set(before)
    mine = of_source(SCALE, 0x1234)
    rule.follow([Block(1, blocks_of([1, 1], mine)[0])])
    assert rule.decoder(SOURCE) == mine
    assert (mine >> 32, mine & LOW) == (0x1234, SCALE & LOW)
    again = Rule("journal", decoders=[SCALE])
    again.restore(rule.state())
    assert again.decoder(SOURCE) == mine
    other = of_source(fingerprint(0.0, 10.0, skips=False), 0x1234)
    with pytest.raises(BlockError, match="of another scale"):
        again.follow([Block(2, blocks_of([1, 1, 1], other)[0])])


def test_what_does_not_count_says_nothing_of_the_mapping() -> None:
    rule = Rule("journal", decoders=[SCALE])
    mine, theirs = of_source(SCALE, 1), of_source(SCALE, 2)
    rule.follow([Block(0, blocks_of([1, 1], mine)[0]), Block(1, blocks_of([1], theirs)[0])])
    assert rule.decoder(SOURCE) == mine
