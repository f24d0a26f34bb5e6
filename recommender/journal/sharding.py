# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The partition of the journal for a user's ratings, where there are several.

It is the one that Kafka's own producers choose for records with the user's id as key, as in
`recommender.messages.partitioning`, computed for many users at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.history.rows import FORGET_ITEM, Rows

_SEED, _M = 0x9747B28C, 0x5BD1E995
_LOW = 0xFFFFFFFF


@kernel
def _murmur2(text, begin, end):
    """The hash of Kafka's producers, in 32 bits without a sign."""
    size = end - begin
    h = np.int64(_SEED) ^ size
    at = begin
    while end - at >= 4:
        k = np.int64(0)
        for place in range(4):
            k |= np.int64(text[at + place]) << (8 * place)
        k = (k * _M) & _LOW
        k ^= k >> 24
        k = (k * _M) & _LOW
        h = ((h * _M) & _LOW) ^ k
        at += 4
    if at < end:
        for place in range(end - at):
            h ^= np.int64(text[at + place]) << (8 * place)
        h = (h * _M) & _LOW
    h ^= h >> 13
    h = (h * _M) & _LOW
    return h ^ (h >> 15)


@kernel
def _find_partitions(text, spans, keep, partitions, found):
    for e in range(found.size):
        if keep[e]:
            found[e] = (_murmur2(text, spans[e, 0], spans[e, 1]) & 0x7FFFFFFF) % partitions


def partitions_of(rows: Rows, partitions: int) -> NDArray[np.int32]:
    """The journal's partition of each row that is plain; -1 of the others."""
    found = np.full(len(rows.plain), -1, np.int32)
    _find_partitions(rows.text, rows.spans, rows.plain, partitions, found)
    return found


def split(rows: Rows, partitions: int) -> list[NDArray[np.bool_]]:
    """The plain rows that belong to each partition of the journal; an item may be in all."""
    if partitions == 1:
        return [rows.plain]
    found = partitions_of(rows, partitions)
    everywhere = np.zeros(len(found), np.bool_)
    if rows.kinds is not None:
        everywhere = rows.plain & (rows.kinds == FORGET_ITEM)
    return [(found == partition) | everywhere for partition in range(partitions)]
