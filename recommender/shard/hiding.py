"""Leaves out of a user's list what was shown to the user before."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from recommender.messages.requests import Request
from recommender.shard.learned import Learned


class Hidden(NamedTuple):
    """Items that are left out of a user's list, unless the user has rated them.

    Attributes
    ----------
    items : list of str
    why : str
        What is said of them where a list becomes shorter by them.
    """

    items: list[str]
    why: str


def without(learned: Learned, request: Request, hidden: Hidden) -> tuple[Request, Hidden | None]:
    """A request without what was shown and not rated, and what that is."""
    items = hidden.items
    if request.include_rated:
        user = learned.users.find(str(request.user))
        rated = set(learned.history.items_of(learned.history.user_count if user is None else user).tolist())
        items = [each for each in items if learned.items.find(each) not in rated]
    if not items:
        return request, None
    excluding = msgspec.structs.replace(request, exclude=[*request.exclude, *items])
    return excluding, hidden._replace(items=items)
