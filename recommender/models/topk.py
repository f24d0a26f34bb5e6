# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernels by what they are called with.
"""The best of many scores, without sorting them all; and all places but some."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel, njit


def contenders(scores: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    """Places of all scores that are as high as the n-th highest, ascending: the best n are among them.

    Parameters
    ----------
    scores : float array, shape (candidates,)
    n : int
        At least 1.

    Returns
    -------
    int array
        More than n of them where scores are tied.
    """
    if n >= len(scores):
        return np.arange(len(scores))
    return np.flatnonzero(scores >= nth_highest(scores, n))


def leading(scores: NDArray[np.float64], n: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The `contenders` and their scores."""
    places = contenders(scores, n)
    return places, scores[places]


def best(
    scores: NDArray[np.float64],
    counts: NDArray[np.integer],
    n: int,
    neighbours: NDArray[np.integer] | None = None,
) -> NDArray[np.intp]:
    """Places of the n highest scores, best first.

    Equal scores are ordered by how many neighbours support them, the more first; then by the item's number
    of ratings, the larger first; and then by place, so that the order never depends on chance.

    Parameters
    ----------
    scores : float array, shape (candidates,)
    counts : int array, shape (candidates,)
        How often each candidate was rated.
    n : int
    neighbours : int array, shape (candidates,), optional

    Returns
    -------
    int array, shape (min(n, candidates),)
    """
    keys = [key for key in (scores, neighbours, counts) if key is not None]
    wanted = min(n, len(scores))
    found = contenders(scores, wanted) if wanted else _NOTHING
    if len(found) > wanted:
        found = _without_last(found, keys, wanted)
    order: NDArray[np.intp] = np.lexsort((found, *(-key[found].astype(np.float64) for key in reversed(keys))))
    return found[order]


_NOTHING = np.zeros(0, np.intp)


def _without_last(
    places: NDArray[np.intp], keys: Sequence[NDArray[np.number]], wanted: int
) -> NDArray[np.intp]:
    """Choose `wanted` of these places: by the first key, of equal ones by the next, then the first.

    A model that scores most items 0 must not make us sort them all.
    """
    chosen: list[NDArray[np.intp]] = []
    for key in keys:
        if not 0 < wanted < len(places):
            break
        values = key[places].astype(np.float64)
        least = nth_highest(values, wanted)
        chosen.append(places[values > least])
        places, wanted = places[values == least], wanted - len(chosen[-1])
    return np.concatenate([*chosen, places[:wanted]])


#: Fewer numbers than one in this many are sorted sooner than marked.
_FEW = 64


def distinct(numbers: NDArray[np.int32], below: int) -> NDArray[np.int32]:
    """The numbers before `below`, ascending, each once.

    As `numpy.unique` of them, which takes a tenth of a second for 300,000 that are ascending already.
    """
    if _is_ascending(numbers):
        return numbers[: np.searchsorted(numbers, below)]
    if _FEW * len(numbers) < below:
        return np.unique(numbers[numbers < below])
    found: NDArray[np.int32] = _marked(numbers, below)
    return found


@njit(cache=True)
def all_but(without, count):
    """The numbers from 0 to before `count` but for those of `without`, ascending, as int32."""
    keep = np.ones(count, np.bool_)
    for number in without:
        if number < count:
            keep[number] = False
    kept, found = np.empty(count, np.int32), 0
    for number in range(count):
        kept[found] = number
        found += keep[number]
    return kept[:found]


@njit(cache=True)
def _is_ascending(numbers):
    ascending = True
    for place in range(1, numbers.size):
        ascending &= numbers[place - 1] < numbers[place]
    return ascending


@njit(cache=True)
def _marked(numbers, below):
    marked = np.zeros(below, np.bool_)
    for number in numbers:
        if number < below:
            marked[number] = True
    return np.flatnonzero(marked).astype(np.int32)


@njit(cache=True)
def nth_highest(scores, n):
    """The n-th highest score, in one pass with the n highest in a heap: faster than a partition."""
    heap = np.full(n, -np.inf)
    for score in scores:
        if score > heap[0]:
            replace_least(heap, score)
    return heap[0]


@kernel
def replace_least(heap, score):
    """Put a score in the place of the least of a heap, which comes first."""
    place = 0
    while True:
        child = 2 * place + 1
        if child >= heap.size:
            break
        if child + 1 < heap.size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= score:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = score


def warm() -> None:
    """Compile or load the kernels."""
    contenders(np.zeros(2), 1)
    best(np.zeros(2), np.zeros(2, np.int32), 1)
    all_but(np.zeros(1, np.int32), 2)
    distinct(np.zeros(2, np.int32), 2)


def was_compiled() -> bool:
    """Return True if the kernel was compiled in this process, and not loaded from the cache."""
    return sum(nth_highest.stats.cache_misses.values()) > 0


def kept_in() -> str:
    """The directory of compiled kernels."""
    return str(nth_highest.stats.cache_path)
