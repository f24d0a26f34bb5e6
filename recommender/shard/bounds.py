"""Bounds of what a shard keeps of a stream that has no end.

Who or what is beyond a bound leaves as if forgotten, see `recommender.shard.keeper`.
"""

from __future__ import annotations

from dataclasses import dataclass

#: In seconds.
DAY = 86_400.0
#: So many rows lie between two looks at the bounds, where these are large.
ROWS = 512
#: The part of a bound by which it may be exceeded.
_PART, _PART_OF_RATINGS = 16, 2


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of what a shard keeps; 0 for none.

    Attributes
    ----------
    users : int
        With more, those leave who were active longest ago.
    ratings : int
        Of a user with more, the oldest are withdrawn.
    user_ttl : float
        Seconds of the log's clock (`recommender.shard.activity`) after which a user leaves who does nothing.
    items : int
        With more, those leave that were rated longest ago.
    item_ttl : float
        Seconds of the log's clock after which an item leaves that nobody rates.
    in_all : int
        With more ratings of all users together, those leave who were active longest ago.
    """

    users: int = 0
    ratings: int = 0
    user_ttl: float = 0.0
    items: int = 0
    item_ttl: float = 0.0
    in_all: int = 0

    def __bool__(self) -> bool:
        return any((self.users, self.ratings, self.user_ttl, self.items, self.item_ttl, self.in_all))

    @property
    def by_time(self) -> bool:
        """True if the log's clock decides who leaves."""
        return self.user_ttl > 0 or self.item_ttl > 0

    @property
    def of_items(self) -> bool:
        """True if items leave, and not only those that nobody has rated any more."""
        return self.items > 0 or self.item_ttl > 0

    @property
    def rows(self) -> int:
        """The number of rows between two looks."""
        parts = [bound // _PART for bound in (self.users, self.items, self.in_all) if bound]
        if self.ratings:
            parts.append(self.ratings // _PART_OF_RATINGS)
        return max(1, min([ROWS, *parts]))
