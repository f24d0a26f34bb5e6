# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops over a block's bytes: writing it, and making sure that it is whole.

Compiled code checks no bounds, so nothing of a block is read before `is_whole` has said that it is.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.journal.unaligned import (
    load_int32,
    load_int64,
    load_uint8,
    store_float32,
    store_float64,
    store_int32,
    store_int64,
    store_uint8,
)
from recommender.journal.utf8_kernels import are_utf8, is_ascii

#: The header's size in bytes.
HEADER_BYTES = 64
#: Rows of a block at most.
MAX_ROWS = 1000
#: Bytes of an id at most: its length less one is a byte.
MAX_ID = 256
#: Bytes of a row without its ids: time, rating and two lengths.
ROW_BYTES = 14
#: Bytes of a row at most: with its offset, its kind and the longest ids.
MAX_ROW_BYTES = ROW_BYTES + 4 + 1 + 2 * MAX_ID
#: "RJB1" as a little-endian number.
MAGIC_WORD = int.from_bytes(b"RJB1", "little")
#: Flags: a column of offsets is there, since the range has gaps; a column of kinds is there; several rows may
#: be of one offset, which is so only next to the first; the block is a copy, or the mark of a rewriting.
OFFSETS, KINDS, SEVERAL, COPY, MARK = 1, 2, 4, 8, 16
KNOWN_FLAGS = OFFSETS | KINDS | SEVERAL | COPY | MARK
#: The last of the kinds of marks: see `recommender.journal.block`.
LAST_MARK = 2
#: The last of the kinds of rows that are known: see `recommender.history.rows`.
LAST_KIND = 3
#: Rows' offsets are relative to the block's first, in 32 bits.
MAX_SPAN = 1 << 32

_LOW = 0xFFFFFFFF
_EXPONENT = 0x7FF << 52
_INFINITE, _MAGNITUDE = 0x7F800000, 0x7FFFFFFF


@inlined_kernel
def header_counts(text, begin):
    """Flags, partition, rows, and the bytes of users and of items, from a block's header."""
    first, second, sizes = load_int64(text, begin), load_int64(text, begin + 8), load_int64(text, begin + 32)
    partition = (second << 32) >> 32
    return (first >> 32) & 0xFFFF, partition, (second >> 32) & _LOW, sizes & _LOW, (sizes >> 32) & _LOW


@inlined_kernel
def column_places(begin, flags, rows, users):
    """The beginnings of the columns: offsets, kinds, lengths of users and of items, and their texts."""
    offsets = begin + HEADER_BYTES + 12 * rows
    kinds = offsets + (4 * rows if flags & OFFSETS else 0)
    user_lengths = kinds + (rows if flags & KINDS else 0)
    item_lengths = user_lengths + rows
    user_text = item_lengths + rows
    return offsets, kinds, user_lengths, item_lengths, user_text, user_text + users


@inlined_kernel
def _has_known_header(text, begin, end):
    """Return True if the header is one that is known, and its counts fit the block's size."""
    size = end - begin
    if size < HEADER_BYTES:
        return False
    first = load_int64(text, begin)
    if (first & _LOW) != MAGIC_WORD:
        return False
    flags, partition, rows, users, items = header_counts(text, begin)
    if flags & ~KNOWN_FLAGS or partition < 0 or rows > MAX_ROWS:
        return False
    # What is shifted keeps its sign: bits of the number that are set are not zero.
    if ((first >> 48) != 0) != (flags & (COPY | MARK) != 0):
        return False
    if flags & MARK and (flags != MARK or rows != 0 or partition > LAST_MARK):
        return False
    lower, upper = load_int64(text, begin + 16), load_int64(text, begin + 24)
    if lower < 0 or upper < lower:
        return False
    if not flags & SEVERAL and rows > upper - lower:
        return False
    if not flags & OFFSETS and (rows != upper - lower or flags & SEVERAL):
        return False
    places = column_places(begin, flags, rows, users)
    return places[5] + items == end


@inlined_kernel
def _have_good_rows(text, place, rows, user_lengths, item_lengths, users, items):
    """Return True if times are finite, ratings finite or NaN, and the ids of these lengths fill the text."""
    ratings = place + 8 * rows
    good = True
    for e in range(rows):
        users -= np.int64(load_uint8(text, user_lengths + e)) + 1
        items -= np.int64(load_uint8(text, item_lengths + e)) + 1
        good &= (load_int64(text, place + 8 * e) & _EXPONENT) != _EXPONENT
        good &= (load_int32(text, ratings + 4 * e) & _MAGNITUDE) != _INFINITE
    return good and users == 0 and items == 0


@inlined_kernel
def _ascend(text, place, rows, span, least):
    """Return True if relative offsets ascend, by at least `least`, and stay in the range."""
    before = np.int64(-1)
    for e in range(rows):
        offset = np.int64(load_int32(text, place + 4 * e)) & _LOW
        if offset < before + least:
            return False
        before = offset
    return before < span


@inlined_kernel
def is_whole(text, begin, end):
    """Return True if the bytes between two places of an array are a block that this version can read.

    `recommender.journal.block.fault_of` says what is wrong with one that is not.
    """
    if not _has_known_header(text, begin, end):
        return False
    flags, _, rows, users, items = header_counts(text, begin)
    offsets, kinds, user_lengths, item_lengths, user_text, item_text = column_places(
        begin, flags, rows, users
    )
    if flags & OFFSETS:
        span = load_int64(text, begin + 24) - load_int64(text, begin + 16)
        if not _ascend(text, offsets, rows, span, 0 if flags & SEVERAL else 1):
            return False
    if flags & KINDS:
        for e in range(kinds, kinds + rows):
            if load_uint8(text, e) > LAST_KIND:
                return False
    if not _have_good_rows(text, begin + HEADER_BYTES, rows, user_lengths, item_lengths, users, items):
        return False
    if is_ascii(text, user_text, end):
        return True
    return are_utf8(text, user_lengths, rows, user_text) and are_utf8(text, item_lengths, rows, item_text)


@kernel
def _count(spans, offsets, keep, kinds, first, last, begin, end):
    """Kept rows, the bytes of their users and items, whether some share an offset, and if all are ratings.

    There are -1 rows where one cannot be written.
    """
    rows, users, items = np.int64(0), np.int64(0), np.int64(0)
    before, several, plain = np.int64(-1), False, True
    for e in range(first, last):
        if keep[e]:
            user, item = spans[e, 1] - spans[e, 0], spans[e, 3] - spans[e, 2]
            offset = offsets[e] - begin
            if user < 1 or user > MAX_ID or item < 1 or item > MAX_ID:
                return -1, users, items, several, plain
            if offset < 0 or offset >= MAX_SPAN or offsets[e] >= end:
                return -1, users, items, several, plain
            if kinds.size:
                plain &= kinds[e] == 0
            several |= rows > 0 and offset == before
            before = offset
            rows += 1
            users += user
            items += item
    return rows, users, items, several, plain


@kernel
def _copy(text, begin, end, out, place):
    for k in range(begin, end):
        store_uint8(out, place, load_uint8(text, k))
        place += 1
    return place


@kernel
def _write_rows(text, spans, ratings, times, offsets, keep, kinds, first, last, begin, flags, places, out):
    time, rating = np.int64(HEADER_BYTES), places[0] - 4 * (places[3] - places[2])
    offset, kind, user_length, item_length, user, item = places
    for e in range(first, last):
        if not keep[e]:
            continue
        store_float64(out, time, times[e])
        store_float32(out, rating, ratings[e])
        if flags & OFFSETS:
            store_int32(out, offset, offsets[e] - begin)
        if flags & KINDS:
            store_uint8(out, kind, kinds[e])
        store_uint8(out, user_length, spans[e, 1] - spans[e, 0] - 1)
        store_uint8(out, item_length, spans[e, 3] - spans[e, 2] - 1)
        user = _copy(text, spans[e, 0], spans[e, 1], out, user)
        item = _copy(text, spans[e, 2], spans[e, 3], out, item)
        time += 8
        rating += 4
        offset += 4
        kind += 1
        user_length += 1
        item_length += 1


@kernel
def pack(text, spans, ratings, times, offsets, keep, kinds, first, last, begin, end, head, out):
    """Write a block.

    Parameters
    ----------
    text, spans, ratings, times : arrays
        Of `recommender.history.rows.Rows`.
    offsets : int64 array
        Ascending; rows of one record have the same.
    keep : bool array
        Which rows are written.
    kinds : uint8 array
        What each row is; empty where all are ratings.
    first, last : int
        Which rows there are: at most `MAX_ROWS`.
    begin, end : int
        The source offsets that the block accounts for.
    head : int64 array, shape (8,)
        The header, whose counts are written here.
    out : uint8 array
        Large enough for any block of this many rows.

    Returns
    -------
    int
        The block's size; -1 where rows cannot be written.
    """
    rows, users, items, several, plain = _count(spans, offsets, keep, kinds, first, last, begin, end)
    if rows < 0:
        return np.int64(-1)
    flags = 0 if rows == end - begin else OFFSETS
    if several:
        flags = OFFSETS | SEVERAL
    if not plain:
        flags |= KINDS
    for k in range(8):
        store_int64(out, 8 * k, head[k])
    store_int64(out, 0, head[0] | (np.int64(flags) << 32))
    store_int64(out, 8, head[1] | (rows << 32))
    store_int64(out, 16, begin)
    store_int64(out, 24, end)
    store_int64(out, 32, users | (items << 32))
    places = column_places(np.int64(0), flags, rows, users)
    _write_rows(text, spans, ratings, times, offsets, keep, kinds, first, last, begin, flags, places, out)
    size = places[5] + items
    return size if is_whole(out, np.int64(0), size) else np.int64(-1)
