"""Bounds of what a shard keeps of a stream that has no end.

Who or what is beyond a bound leaves as if forgotten, see `recommender.shard.keeper`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: In seconds.
DAY = 86_400.0
#: So many rows lie between two looks at the bounds, where these are large.
ROWS = 4096
#: The part of a bound by which it may be exceeded meanwhile, and that of a small one.
_PART, _SMALL, _PART_OF_SMALL = 3, 1024, 16
#: The same of very few ratings of a user. Where they are more, all users together exceed it by no more than
#: there are rows.
_FEW_RATINGS, _PART_OF_FEW = 4, 2

# What bounds are called, as the settings are after RECOMMENDER_.
MAX_USERS, MAX_ITEMS, MAX_RATINGS = "max_users", "max_items", "max_ratings"
MAX_RATINGS_PER_USER = "max_ratings_per_user"
USER_TTL, ITEM_TTL = "user_ttl", "item_ttl"


class Use(NamedTuple):
    """The distance to a bound.

    Attributes
    ----------
    known : float or None
        What there is now, in the unit of the bound; None where nobody counts it, as of each user.
    bound : float
        As the setting says it: a number, or days.
    """

    known: float | None
    bound: float


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
    def settings(self) -> dict[str, float]:
        """The bounds that there are, as the settings say them."""
        told = {
            MAX_USERS: self.users,
            MAX_ITEMS: self.items,
            MAX_RATINGS: self.in_all,
            MAX_RATINGS_PER_USER: self.ratings,
            USER_TTL: self.user_ttl / DAY,
            ITEM_TTL: self.item_ttl / DAY,
        }
        return {name: bound for name, bound in told.items() if bound}

    @property
    def rows(self) -> int:
        """The number of rows between two looks."""
        bounds = [bound for bound in (self.users, self.items, self.in_all) if bound]
        parts = [bound // (_PART if bound >= _SMALL else _PART_OF_SMALL) for bound in bounds]
        if 0 < self.ratings < _FEW_RATINGS:
            parts.append(self.ratings // _PART_OF_FEW)
        return max(1, min([ROWS, *parts]))
