"""A copy of a shard's state that is taken while the shard continues to learn."""

from __future__ import annotations

from recommender.history.arrays import Arrays, flat
from recommender.history.snapshot import SLICE, CatalogView, HistorySnapshot
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
        Entries of the history that are copied at a stretch.
    """

    def __init__(self, shard: Shard, slice_entries: int = SLICE) -> None:
        self.shard = shard
        self._history = HistorySnapshot(shard.history, slice_entries)
        self._beside: Arrays = {}
        self._catalogs: tuple[CatalogView, ...] = ()

    def advance(self) -> bool:
        """Copy a slice; False when little is left to copy."""
        return self._history.advance()

    def finish(self) -> None:
        """Copy the rest."""
        self._history.finish()
        self._beside = self.shard.state_beside_history()
        self._catalogs = self.shard.users.view(), self.shard.items.view()

    def state(self) -> Arrays:
        """The result of `Shard.state` as of `finish`; meanwhile the shard may learn. Once only."""
        users, items = self._catalogs
        kept = {"users": users.state(), "items": items.state(), "history": self._history.state()}
        return flat(kept) | self._beside
