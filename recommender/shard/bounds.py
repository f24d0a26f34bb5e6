"""Bounds of what a shard keeps of a stream that has no end.

Whoever is beyond a bound leaves as if forgotten, see `recommender.shard.keeper`.
"""

from __future__ import annotations

from dataclasses import dataclass

#: In seconds.
DAY = 86_400.0
#: In days: of less, users would leave in the middle of a visit.
LEAST_TTL = 0.1
#: So many rows lie between two looks at the bounds, where these are large.
ROWS = 256
#: The part of a bound by which it may be exceeded.
_PART, _PART_OF_RATINGS = 64, 8


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
    """

    users: int = 0
    ratings: int = 0
    user_ttl: float = 0.0

    def __bool__(self) -> bool:
        return self.users > 0 or self.ratings > 0 or self.user_ttl > 0

    @property
    def rows(self) -> int:
        """The number of rows between two looks."""
        users = self.users // _PART if self.users else ROWS
        ratings = self.ratings // _PART_OF_RATINGS if self.ratings else ROWS
        return max(1, min(ROWS, users, ratings))
