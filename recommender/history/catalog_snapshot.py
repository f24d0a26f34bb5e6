# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
"""A copy of a catalog that is taken while ids come and leave, in slices.

Ids are copied in the order of their indices, a slice at a time. An index that was free in the beginning, or
lost its id since, may have another one in the end: those are copied again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.history.arrays import Arrays
from recommender.history.catalog import Catalog, state_of


class CatalogSnapshot:
    """A copy in the making.

    Parameters
    ----------
    catalog : Catalog
        It may change between two calls, but not during one.
    slice_ids : int
        Ids copied at a stretch.
    """

    def __init__(self, catalog: Catalog, slice_ids: int) -> None:
        self._catalog, self._slice = catalog, slice_ids
        catalog.copies.add(self)
        self._texts: list[NDArray[np.uint8]] = []
        self._lengths: list[NDArray[np.uint16]] = []
        self._copied = 0
        #: Indices that may have another id by now.
        self._again: list[NDArray[np.int32]] = [catalog.free]

    def advance(self) -> bool:
        """Copy a slice; False when it is time to finish."""
        if self._catalog.size - self._copied <= self._slice:
            return False
        self._copy_up_to(self._copied + self._slice)
        return True

    def forget(self, indices: NDArray[np.int32]) -> None:
        """Copy indices again."""
        self._again.append(indices)

    def finish(self) -> None:
        """Copy the rest, and what has changed since."""
        catalog = self._catalog
        catalog.copies.discard(self)
        again = np.unique(np.concatenate(self._again))
        self._changed = again[again < self._copied]
        self._new = catalog.table.gathered(self._changed)
        self._copy_up_to(catalog.size)
        self._free = catalog.table.free.copy()

    def _copy_up_to(self, end: int) -> None:
        text, lengths = self._catalog.table.gathered(np.arange(self._copied, end))
        self._texts.append(text)
        self._lengths.append(lengths)
        self._copied = end

    def state(self) -> Arrays:
        """The result of `Catalog.state` as of `finish`; meanwhile ids may come and leave."""
        text, lengths = np.concatenate(self._texts), np.concatenate(self._lengths)
        if len(self._changed):
            new, new_lengths = self._new
            less = int(lengths[self._changed].sum(dtype=np.int64))
            replaced = np.empty(len(text) - less + len(new), np.uint8)
            replace(text, lengths, self._changed, new, new_lengths, replaced)
            text = replaced
        return state_of(text, lengths, self._free)


@kernel
def replace(text, lengths, changed, new, new_lengths, replaced):
    """Write all ids, those that have changed as they are now; and their lengths."""
    begin, end, new_begin, place = 0, 0, 0, 0
    for index in range(lengths.size):
        size = np.int64(lengths[index])
        if place < changed.size and changed[place] == index:
            lengths[index] = new_lengths[place]
            for b in range(np.int64(new_lengths[place])):
                replaced[end + b] = new[new_begin + b]
            new_begin += np.int64(new_lengths[place])
            place += 1
        else:
            for b in range(size):
                replaced[end + b] = text[begin + b]
        begin += size
        end += np.int64(lengths[index])


def warm() -> None:
    """Compile or load the kernel."""
    catalog = Catalog()
    catalog.register_all(["a", "b"])
    catalog.remove("a")
    snapshot = CatalogSnapshot(catalog, 1)
    snapshot.advance()
    snapshot.finish()
    snapshot.state()
