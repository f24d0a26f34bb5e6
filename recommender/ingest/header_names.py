"""Finds out which of many records have headers that matter, with as little as possible for each record.

Tracing, schemas and gateways put headers on every record of a topic. To know that they mean nothing here must
not take as long as to read the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pair = tuple[str, bytes]
_NAME = itemgetter(0)


def marked_by(
    records: Sequence[Any], may_matter: Callable[[str], bool], matters: Callable[[Pair], bool]
) -> NDArray[np.bool_]:
    """Mark the records that have a header that matters.

    Parameters
    ----------
    records : sequence
        With `headers` each: pairs of name and value, or None.
    may_matter : function
        Says whether headers of a name may matter; asked for each name that there is, not for each record.
    matters : function
        Says whether a header does; asked for each different one of those names.

    Returns
    -------
    bool array, shape (records,)
    """
    count = len(records)
    first = records[0].headers if count else None
    if first and _are_like(first, records, may_matter):
        return np.full(count, bool(_those(first, may_matter, matters)))
    headers = [record.headers for record in records]
    if not any(headers):
        return np.zeros(count, np.bool_)
    headers = [each or () for each in headers]
    names = set(filter(may_matter, set(map(_NAME, chain.from_iterable(headers)))))
    if not names:
        return np.zeros(count, np.bool_)
    told = _those(chain.from_iterable(headers), names.__contains__, matters)
    return np.fromiter((not told.isdisjoint(each) for each in headers), np.bool_, count)


def _are_like(first: Sequence[Pair], records: Sequence[Any], may_matter: Callable[[str], bool]) -> bool:
    """Tell whether all have the first one's names in its order, and the same values where they may matter."""
    size = len(first)
    try:
        for k, pair in enumerate(first):
            name = pair[0]
            if may_matter(name):
                other = [1 for each in records if len(told := each.headers) != size or told[k] != pair]
            else:
                other = [1 for each in records if len(told := each.headers) != size or told[k][0] != name]
            if other:
                return False
    except TypeError:  # the headers of one are None
        return False
    return True


def _those(
    pairs: Iterable[Pair], may_matter: Callable[[str], bool], matters: Callable[[Pair], bool]
) -> set[Pair]:
    return set(filter(matters, {pair for pair in pairs if may_matter(pair[0])}))
