"""A copy of a shard's state that is taken while the shard continues to learn."""

from __future__ import annotations

from recommender.history.arrays import Arrays, flat
from recommender.history.catalog_snapshot import CatalogSnapshot
from recommender.history.snapshot import SLICE, HistorySnapshot
from recommender.shard.shard import Shard


class Snapshot:
    """A copy in the making.

    Call `advance` until it returns False, each time while the shard does not learn, for about a millisecond;
    then `finish`, at the moment that the copy is to be of; then `state`, at leisure. A model's own state, if
    it is large, is copied by `finish` in one go.

    Parameters
    ----------
    shard : Shard
    slice_entries : int
        Entries of the history, or ids, that are copied at a stretch.
    """

    def __init__(self, shard: Shard, slice_entries: int = SLICE) -> None:
        self.shard = shard
        self._users = CatalogSnapshot(shard.users, slice_entries)
        self._items = CatalogSnapshot(shard.items, slice_entries)
        self._history = HistorySnapshot(shard.history, slice_entries)
        self._beside: Arrays = {}

    def advance(self) -> bool:
        """Copy a slice; False when little is left to copy."""
        return self._users.advance() or self._items.advance() or self._history.advance()

    def finish(self) -> None:
        """Copy the rest."""
        for each in (self._users, self._items, self._history):
            each.finish()
        self._beside = self.shard.state_beside_history()

    def state(self) -> Arrays:
        """The result of `Shard.state` as of `finish`; meanwhile the shard may learn. Once only."""
        kept = {"users": self._users.state(), "items": self._items.state(), "history": self._history.state()}
        return flat(kept) | self._beside
