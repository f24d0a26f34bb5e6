"""Blocks: what is packed is read again, and what is damaged is noticed before anything of it is read."""

from __future__ import annotations

import ctypes
import mmap
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.journal import block_kernels, sharding
from recommender.journal.block import HEADER, MAX_BLOCK_BYTES, Packer, Source, head_of
from recommender.journal.block_kernels import HEADER_BYTES, KINDS, MAX_ROWS, OFFSETS
from recommender.journal.block_reader import fault_of, read
from recommender.journal.errors import BlockError
from recommender.messages.partitioning import partition_of
from tests.support.doubles import few
from tests.unit.journal.blocks import TOPIC, Row, columns, damaged, listed, narrowed, packed, rows

SOURCE = Source(TOPIC, 7)


def is_whole(value: bytes) -> bool:
    text = np.frombuffer(value, np.uint8)
    return bool(block_kernels.is_whole(text, 0, len(text)))


def expected(of: list[Row]) -> list[tuple[str, str, float | None, float]]:
    return [(row.user, row.item, narrowed(row.rating), row.time) for row in of if row.user is not None]


@few
@given(rows(), st.integers(0, 3), st.integers(0, 2**64 - 1), st.booleans())
def test_what_is_packed_is_read_again(given: list[Row], more: int, decoder: int, float32: bool) -> None:
    begin = max(given[0].offset - more, 0) if given else 5
    end = given[-1].offset + 1 + more if given else 5 + more
    made, offsets = columns(given, float32=float32)
    value = Packer(SOURCE, decoder).pack(begin, end, made, offsets)
    assert is_whole(value)
    found = read(value, "journal", 0, 3)
    assert found.head.source == SOURCE
    assert (found.head.begin, found.head.end, found.head.decoder) == (begin, end, decoder)
    assert found.offsets.tolist() == [row.offset for row in given if row.user is not None]
    assert listed(found.rows) == expected(given)


@few
@given(rows(most=30, start=4), st.integers(1, 5), st.integers(1, 4))
def test_a_range_is_cut_into_blocks_that_account_for_all_of_it(
    given: list[Row], most: int, partitions: int
) -> None:
    made, offsets = columns([Row(1, "below", "x", 1.0, 0.0), *given])
    end = given[-1].offset + 2 if given else 9
    pieces = list(Packer(SOURCE, 0, partitions, most=most).pack_range(2, end, made, offsets))
    place = 2
    for piece_end, blocks in pieces:
        heads = [head_of(each) for each in blocks]
        assert [(each.begin, each.end) for each in heads] == [(place, piece_end)] * partitions
        assert sum(each.rows for each in heads) <= most
        place = piece_end
    assert place == end
    for partition in range(partitions):
        found = [row for _, blocks in pieces for row in listed(read(blocks[partition], "j", 0, 0).rows)]
        assert found == [each for each in expected(given) if partition_of(each[0], partitions) == partition]


def test_a_range_without_rows_is_one_block_and_an_empty_one_none() -> None:
    nothing = columns([])
    ((end, (value,)),) = Packer(SOURCE).pack_range(3, 2**40, *nothing)
    assert end == 2**40
    assert len(value) == HEADER_BYTES
    assert is_whole(value)
    assert list(Packer(SOURCE).pack_range(3, 3, *nothing)) == []
    assert is_whole(Packer(SOURCE).pack(3, 3, *nothing))


def test_rows_that_lie_further_apart_than_an_offset_column_reaches() -> None:
    given = [
        Row(2, "a", "x", 1.0, 0.0),
        Row(2**40, "b", "y", 2.0, 0.0),
        Row(2**40 + 2**33, "c", "z", 3.0, 0.0),
    ]
    pieces = list(Packer(SOURCE).pack_range(0, 2**41, *columns(given)))
    found = [(end, *read(value, "j", 0, 0).offsets.tolist()) for end, (value,) in pieces]
    assert found == [(2**40, 2), (2**40 + 2**33, 2**40), (2**41, 2**40 + 2**33)]


@few
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), max_size=9), st.integers(1, 50)
)
def test_a_users_partition_is_that_of_kafkas_producers(users: list[str], partitions: int) -> None:
    made, _ = columns([Row(place, user, "x", 1.0, 0.0) for place, user in enumerate(users)])
    assert sharding.partitions_of(made, partitions).tolist() == [
        partition_of(each, partitions) for each in users
    ]


def test_no_block_is_larger_than_a_topic_takes() -> None:
    widest = [Row(2 * place, "u" * 256, "i" * 256, None, 0.0) for place in range(MAX_ROWS)]
    value = packed(widest, 0, 2 * MAX_ROWS)
    assert len(value) == MAX_BLOCK_BYTES - MAX_ROWS  # which has no kinds
    assert is_whole(value)
    # Kafka takes 1 MiB by default, for a batch with a header of 61 bytes, and a record's own of some 20.
    assert MAX_BLOCK_BYTES + 100 < 1024 * 1024


@pytest.mark.parametrize(
    "row",
    [
        Row(5, "", "x", 1.0, 0.0),
        Row(5, "a", "", 1.0, 0.0),
        Row(5, "a" * 257, "x", 1.0, 0.0),
        Row(5, "a", "x" * 1000, 1.0, 0.0),
        Row(5, "a", "x", float("inf"), 0.0),
        Row(5, "a", "x", 1e39, 0.0),
        Row(5, "a", "x", 1.0, float("nan")),
        Row(5, "a", "x", 1.0, float("inf")),
        Row(4, "a", "x", 1.0, 0.0),
        Row(6, "a", "x", 1.0, 0.0),
    ],
    ids=lambda _: "",
)
def test_what_nobody_could_read_is_not_written(row: Row) -> None:
    with pytest.raises(ValueError, match="source offsets 5 to 5 cannot be packed"):
        packed([row], 5, 6)


def test_what_is_not_utf8_or_too_much_is_not_written() -> None:
    made, offsets = columns([Row(0, "ab", "x", 1.0, 0.0)])
    text = np.frombuffer(b"\xe2\x82x", np.uint8)
    with pytest.raises(ValueError, match="UTF-8"):
        Packer(SOURCE).pack(0, 1, made._replace(text=text), offsets)
    with pytest.raises(ValueError, match="1001 rows in a block: expected at most 1000"):
        Packer(SOURCE).pack(0, 1001, *columns([Row(place, "a", "x", 1.0, 0.0) for place in range(1001)]))


@few
@given(st.data(), rows(), st.integers(0, 2))
def test_the_kernel_and_the_reader_agree_on_what_is_damaged(
    data: st.DataObject, given: list[Row], more: int
) -> None:
    end = given[-1].offset + 1 + more if given else more
    value = data.draw(damaged(packed(given, 0, end)))
    assert is_whole(value) == (fault_of(value) is None)


@few
@given(st.binary(max_size=300))
def test_any_bytes(value: bytes) -> None:
    assert is_whole(value) == (fault_of(value) is None)
    value = HEADER.pack(b"RJB1", 1, 0, 0, 1, 0, 9, 1, 1, TOPIC, 0) + value
    assert is_whole(value) == (fault_of(value) is None)


@few
@given(st.binary(min_size=1, max_size=5))
def test_ids_are_what_python_decodes(text: bytes) -> None:
    value = HEADER.pack(b"RJB1", 0, 0, 0, 1, 0, 1, len(text), 1, TOPIC, 0)
    value += struct.pack("<dfBB", 0.0, 1.0, len(text) - 1, 0) + text + b"i"
    try:
        text.decode()
    except UnicodeDecodeError:
        assert not is_whole(value)
    else:
        assert is_whole(value)


@pytest.fixture(scope="module")
def guarded() -> NDArray[np.uint8]:
    """A page of bytes between two that nobody may read: who does is killed."""
    pages = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, 2):
        place = ctypes.c_void_p(address + page * mmap.PAGESIZE)
        assert libc.mprotect(place, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return np.frombuffer(pages, np.uint8)[mmap.PAGESIZE : 2 * mmap.PAGESIZE]


@few
@given(data=st.data(), given=rows(most=4))
def test_nothing_beyond_a_block_is_read(
    guarded: NDArray[np.uint8], data: st.DataObject, given: list[Row]
) -> None:
    value = data.draw(damaged(packed(given, 0, given[-1].offset + 1 if given else 1)))
    if len(value) > len(guarded):
        return
    for place in (0, len(guarded) - len(value)):
        guarded[place : place + len(value)] = np.frombuffer(value, np.uint8)
        whole = block_kernels.is_whole(guarded, place, place + len(value))
        assert whole == (fault_of(value) is None)


def changed(value: bytes, place: int, form: str, *numbers: float) -> bytes:
    made = bytearray(value)
    struct.pack_into(form, made, place, *numbers)
    return bytes(made)


WHOLE = packed([Row(5, "ann", "tea", 1.0, 7.0), Row(7, "bob", "milk", None, 8.0)], 5, 9)


def with_kinds(*kinds: int) -> bytes:
    """The same with a column of kinds."""
    place = HEADER_BYTES + 2 * 16
    return changed(WHOLE[:place] + bytes(kinds) + WHOLE[place:], 4, "<H", OFFSETS | KINDS)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (None, "the record has no value"),
        (b"", "the record has 0 bytes: expected a block of at least 64"),
        (
            b'{"user":' + bytes(99),
            "the record begins with b'{\"us': expected a block, which begins with b'RJB1'",
        ),
        (b"RJB2" + WHOLE[4:], "begins with b'RJB2'"),
        (changed(WHOLE, 4, "<H", 33), "has flags 0x21 and number 0x0: expected at most 0x1f, and a number"),
        (changed(WHOLE, 4, "<H", 33), "with 0x8 or 0x10 only. A newer version"),
        (changed(WHOLE, 4, "<H", 9), "has flags 0x9 and number 0x0"),
        (changed(WHOLE, 4, "<H", 4), "has several rows of one source offset and no offsets"),
        (changed(WHOLE, 6, "<H", 1), "has flags 0x1 and number 0x1"),
        (changed(WHOLE, 8, "<i", -1), "of source partition -1"),
        (changed(WHOLE, 12, "<I", 5), "has 5 rows for 4 source offsets"),
        (changed(WHOLE, 16, "<q", 10), "range is from 10 to 9: expected 0 <= from <= to"),
        (changed(WHOLE, 16, "<q", -1), "range is from -1 to 9"),
        (changed(WHOLE, 4, "<H", 0), "has 2 rows without offsets for 4 source offsets"),
        (WHOLE + b"x", f"has {len(WHOLE) + 1} bytes: expected {len(WHOLE)}, as its header says"),
        (WHOLE[:-1], f"has {len(WHOLE) - 1} bytes: expected {len(WHOLE)}"),
        (changed(WHOLE, 64, "<d", float("nan")), "row 0 has time nan"),
        (changed(WHOLE, 84, "<f", float("inf")), "row 1 has rating inf"),
        (changed(WHOLE, 88, "<II", 2, 2), "offsets that do not ascend from 5 to 8"),
        (changed(WHOLE, 88, "<II", 0, 4), "offsets that do not ascend from 5 to 8"),
        (changed(WHOLE, 96, "<B", 3), "users have 7 bytes: expected 6"),
        (changed(WHOLE, 98, "<B", 4), "items have 9 bytes: expected 7"),
        (changed(WHOLE, 100, "<B", 0xFF), "the user of row 0 is not UTF-8"),
        (changed(WHOLE, 109, "<B", 0x80), "the item of row 1 is not UTF-8"),
        (with_kinds(0, 4), "row 1 is of kind 4: expected at most 3. A newer version"),
        (with_kinds(0, 200), "row 1 is of kind 200: expected"),
    ],
    ids=lambda each: "",
)
def test_what_is_wrong_is_said(value: bytes | None, fault: str) -> None:
    assert value is None or not is_whole(value)
    with pytest.raises(BlockError) as caught:
        read(value, "ratings-journal", 2, 17)
    assert str(caught.value).startswith("ratings-journal[2] offset 17: ")
    assert fault in str(caught.value)


def test_a_block_whose_rows_are_all_ratings_may_say_so() -> None:
    assert is_whole(with_kinds(0, 0))
    assert listed(read(with_kinds(0, 0), "j", 0, 0).rows) == listed(read(WHOLE, "j", 0, 0).rows)
