"""One question to a shard: the request, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from recommender.items.view import ItemFilter, ItemView
from recommender.messages.requests import Request
from recommender.messages.responses import Recommended, Response
from recommender.models.base import FloatArray
from recommender.shard.learned import Learned


class AsOf(NamedTuple):
    """The last rating that an answer knows of.

    Attributes
    ----------
    partition, offset : int
        In the ratings topic: the partition of the user's key, and the last offset of it that was learned.
        Offset -1 is before the first.
    journal : int
        The last offset of the journal that was followed.
    """

    partition: int
    offset: int
    journal: int


#: Before the first rating.
NOTHING = AsOf(0, -1, -1)


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


def without_hidden(learned: Learned, request: Request, hidden: Hidden) -> tuple[Request, Hidden | None]:
    """A request without what was shown and not rated, and what that is."""
    items = hidden.items
    if request.include_rated:
        user = learned.users.find(str(request.user))
        rated = set(learned.history.items_of(learned.history.user_count if user is None else user).tolist())
        known = learned.items.find_all(items)
        items = [each for each, index in zip(items, known, strict=True) if index not in rated]
    if not items:
        return request, None
    excluding = msgspec.structs.replace(request, exclude=[*request.exclude, *items])
    return excluding, hidden._replace(items=items)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A request, and all that its answer depends on but the state.

    Attributes
    ----------
    request : Request
    identity : bytes
        What exploration draws by: a request of the same identity is answered the same.
    as_of : AsOf
        The last rating that was learned.
    view : ItemView
        What the items topic says of the shard's items.
    passing : ItemFilter or None
        The items that the request lets through; None if that is every item.
    sums : float array or None
        How popular each item is in the window of time that is asked for.
    """

    request: Request
    identity: bytes
    as_of: AsOf
    view: ItemView
    passing: ItemFilter | None
    sums: FloatArray | None

    def response(
        self,
        items: list[Recommended],
        *,
        user: str | None,
        model: str,
        arm: str,
        cold_start: bool,
        forced: bool | None = None,
        explained: bool = True,
    ) -> Response:
        """The answer, as of the last rating that was learned.

        Parameters
        ----------
        items : list of Recommended
        user, model, arm, cold_start, explained
            As in `Response`.
        forced : bool, optional
            By default True if the request names an arm.
        """
        return Response(
            user=user,
            items=items,
            model=model,
            arm=arm,
            cold_start=cold_start,
            partition=self.as_of.partition,
            offset=self.as_of.offset,
            journal=self.as_of.journal,
            forced=self.request.arm is not None if forced is None else forced,
            explained=explained,
        )
