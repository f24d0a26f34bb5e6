# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loop that follows the blocks of a whole fetch.

At low rates a block has one rating: block by block each would cost microseconds of calls.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.journal.block_kernels import (
    COPY,
    HEADER_BYTES,
    KINDS,
    MARK,
    OFFSETS,
    column_places,
    header_counts,
    is_whole,
)
from recommender.journal.unaligned import load_int32, load_int64, load_uint8

#: What became of a block: followed before, or of no concern here as a mark or a copy for others; applied,
#: applied in part, applied before, ahead of its source.
PASSED, APPLIED, CUT, DUPLICATE, AHEAD = range(5)
#: Why the loop ended: all was followed, a block is not whole, a block is of a source that is not known yet, a
#: block was decoded in another way than is expected, a block is a mark.
DONE, DAMAGED, NEW_SOURCE, FOREIGN, MARKED = range(5)
#: Places in the array of numbers that go with a journal partition.
POSITION, APPLIED_BLOCKS, CUT_BLOCKS, DUPLICATE_BLOCKS, AHEAD_BLOCKS, ROWS = range(6)
NUMBERS = 6

_LOW = 0xFFFFFFFF
_LOWER = np.uint64(0xFFFFFFFF)
_SHIFT, _HALF = np.uint64(29), np.uint64(32)
_CHAIN = np.uint64(0x9E3779B97F4A7C15)
#: One odd number for each word of the header.
_FACTORS = np.array(
    [
        0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F,
        0xE7037ED1A0B428DB, 0x8EBC6AF09C88C6E3, 0x589965CC75374CC3, 0x1D8E4E27C47D124F,
    ],
    np.uint64,
)  # fmt: skip


@inlined_kernel
def chained(digest, text, begin, offset):
    """The running hash after a block: of all blocks' headers and the journal offsets at which they stand."""
    mixed = np.uint64(offset) * _CHAIN
    for k in range(HEADER_BYTES // 8):
        word = np.uint64(load_int64(text, begin + 8 * k)) * _FACTORS[k]
        mixed += word ^ (word >> _SHIFT)
    digest = (digest ^ mixed) * _CHAIN
    return digest ^ (digest >> _HALF)


@inlined_kernel
def _place(low, high, partition, size):
    """The slot where the search for a source begins in a table of a size that is a power of two."""
    mixed = (np.uint64(low) ^ (np.uint64(high) * _CHAIN) ^ np.uint64(partition)) * _CHAIN
    return np.int64(mixed >> _HALF) & (size - 1)


@inlined_kernel
def find_slot(low, high, partition, keys, table):
    """The slot of a source, or -1.

    Parameters
    ----------
    low, high : int
        The words of the topic's id.
    partition : int
    keys : int64 array, shape (slots, 3)
        The same of each source.
    table : int32 array
        Slots plus 1 by hash, 0 where there is none; not full.
    """
    at = _place(low, high, partition, table.size)
    while table[at] != 0:
        slot = table[at] - 1
        if keys[slot, 0] == low and keys[slot, 1] == high and keys[slot, 2] == partition:
            return slot
        at = (at + 1) & (table.size - 1)
    return -1


@kernel
def fill_table(keys, table):
    """Enter each source into an empty table."""
    for slot in range(len(keys)):
        at = _place(keys[slot, 0], keys[slot, 1], keys[slot, 2], table.size)
        while table[at] != 0:
            at = (at + 1) & (table.size - 1)
        table[at] = slot + 1


@inlined_kernel
def _take(text, begin, have, row, spans, ratings, times, kinds):
    """Write the rows of a whole block from a source offset on; how many rows there are then."""
    flags, _, count, users, _ = header_counts(text, begin)
    places = column_places(begin, flags, count, users)
    first = np.int64(0)
    missing = have - load_int64(text, begin + 16)
    if missing > 0:
        if flags & OFFSETS:
            while first < count and (np.int64(load_int32(text, places[0] + 4 * first)) & _LOW) < missing:
                first += 1
        else:
            first = missing
    user, item = places[4], places[5]
    for e in range(first):
        user += np.int64(load_uint8(text, places[2] + e)) + 1
        item += np.int64(load_uint8(text, places[3] + e)) + 1
    time = begin + HEADER_BYTES
    rating = time + 8 * count
    for e in range(first, count):
        times[row] = load_int64(text, time + 8 * e)
        ratings[row] = load_int32(text, rating + 4 * e)
        kinds[row] = load_uint8(text, places[1] + e) if flags & KINDS else 0
        past_user, past_item = (
            user + load_uint8(text, places[2] + e) + 1,
            item + load_uint8(text, places[3] + e) + 1,
        )
        spans[row, 0], spans[row, 1], spans[row, 2], spans[row, 3] = user, past_user, item, past_item
        user, item = past_user, past_item
        row += 1
    return row


@kernel
def pass_over(text, begin, offset, numbers, digest):
    """Follow a block that gives nothing."""
    digest[0] = chained(digest[0], text, begin, offset)
    numbers[POSITION] = offset + 1


@kernel
def follow(
    text, ends, offsets, first, row, number, keys, table, decoders, applied, loose, mapped, numbers, digest,
    spans, ratings, times, kinds, outcomes, taken,
):  # fmt: skip
    """Follow blocks that stand one after the other.

    Parameters
    ----------
    text : uint8 array
    ends : int64 array, shape (blocks,)
        Where each block ends in the text.
    offsets : int64 array, shape (blocks,)
        Where each stands in the journal.
    first, row : int
        Blocks that were followed by an earlier call, and rows that were written.
    number : int
        Of the rewriting whose copies count; 0 where none do.
    keys, table : arrays
        The sources, see `find_slot`.
    decoders : uint64 array
        Fingerprints of decoders that are accepted, whatever their upper bits; any if it is empty.
    applied : int64 array, shape (slots,)
        Changed: up to which offset each source is applied.
    loose : bool array, shape (slots,)
        Changed: sources whose next block is applied although it is ahead.
    mapped : uint64 array, shape (slots,)
        Changed: the fingerprint of each source's last block that was applied, where it is not one of these;
        else 0.
    numbers : int64 array
        Changed: the position in the journal and counts.
    digest : uint64 array, shape (1,)
        Changed: the running hash.
    spans, ratings, times, kinds : arrays
        Written: the rows, as `recommender.history.rows.Rows` has them; numbers as integers of the same
        bytes.
    outcomes : uint8 array, shape (blocks,)
        Written: what became of each block.
    taken : int32 array, shape (blocks,)
        Written: the rows that each block gave.

    Returns
    -------
    reason, blocks, rows : int
        Why the loop ended, the blocks that are followed then, and the rows.
    """
    begin = ends[first - 1] if first > 0 else np.int64(0)
    for b in range(first, ends.size):
        at, begin = begin, ends[b]
        taken[b] = 0
        if offsets[b] < numbers[POSITION]:
            outcomes[b] = PASSED
            continue
        if not is_whole(text, at, ends[b]):
            return DAMAGED, b, row
        flags, copy = header_counts(text, at)[0], (load_int64(text, at) >> 48) & 0xFFFF
        if flags & MARK:
            return MARKED, b, row
        if flags & COPY and copy != number:
            pass_over(text, at, offsets[b], numbers, digest)
            outcomes[b] = PASSED
            continue
        decoder = np.uint64(load_int64(text, at + 56))
        accepted = same = decoders.size == 0
        for k in range(decoders.size):
            same |= decoders[k] == decoder
            accepted |= ((decoders[k] ^ decoder) & _LOWER) == 0
        if not accepted:
            return FOREIGN, b, row
        partition = load_int32(text, at + 8)
        slot = find_slot(load_int64(text, at + 40), load_int64(text, at + 48), partition, keys, table)
        if slot < 0:
            return NEW_SOURCE, b, row
        lower, upper, have = load_int64(text, at + 16), load_int64(text, at + 24), applied[slot]
        if loose[slot]:
            loose[slot] = False
            have = max(have, lower)
        if lower > have:
            outcomes[b] = AHEAD
            numbers[AHEAD_BLOCKS] += 1
        elif upper <= have:
            outcomes[b] = DUPLICATE
            numbers[DUPLICATE_BLOCKS] += 1
        else:
            before = row
            row = _take(text, at, have, row, spans, ratings, times, kinds)
            taken[b] = row - before
            outcomes[b] = APPLIED if lower == have else CUT
            numbers[CUT_BLOCKS] += lower < have
            numbers[APPLIED_BLOCKS] += 1
            numbers[ROWS] += row - before
            applied[slot] = upper
            mapped[slot] = np.uint64(0) if same else decoder
        digest[0] = chained(digest[0], text, at, offsets[b])
        numbers[POSITION] = offsets[b] + 1
    return DONE, ends.size, row
