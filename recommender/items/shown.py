# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Items that were shown to users lately: the newest places of lists, as one ring of arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.items.store import grown

#: Places that are kept of all users together; the oldest make room. A place takes 32 bytes.
MAX_PLACES = 5_000_000
#: The newest places of a user that are looked at.
MAX_OF_USER = 1000
NONE = -1


class ShownList(NamedTuple):
    """One list that was shown.

    Attributes
    ----------
    user : str
    request : str
        Tells a user's lists apart; the same one twice is one list.
    moment : float
        When, in seconds since 1970.
    items : list of str
    """

    user: str
    request: str
    moment: float
    items: list[str]


class Ring(NamedTuple):
    """The raw arrays: by slot, by user, by item; `meta` holds how many places were ever put."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    moments: NDArray[np.float64]
    requests: NDArray[np.int64]
    #: The number of the user's place before this one.
    before: NDArray[np.int64]
    #: By user: the number of the newest place.
    newest: NDArray[np.int64]
    #: By item: how many slots hold it.
    uses: NDArray[np.int32]
    meta: NDArray[np.int64]


class ShownStore:
    """The items that each user was shown lately.

    A user or item of whom no place is kept any more takes no memory, so all of it is bounded by the places.

    Parameters
    ----------
    most : int
        Places that are kept.
    """

    def __init__(self, most: int = MAX_PLACES) -> None:
        self._most = most
        size = min(1024, most)
        self._ring = Ring(
            np.zeros(size, np.int32),
            np.zeros(size, np.int32),
            np.zeros(size),
            np.zeros(size, np.int64),
            np.zeros(size, np.int64),
            np.full(64, NONE, np.int64),
            np.zeros(64, np.int32),
            np.zeros(1, np.int64),
        )
        self._users, self._items = _Numbers(), _Numbers()

    def __len__(self) -> int:
        return min(int(self._ring.meta[0]), len(self._ring.users))

    @property
    def users(self) -> int:
        """The number of users of whom a place is kept."""
        return len(self._users)

    @property
    def items(self) -> int:
        """The number of items of which a place is kept."""
        return len(self._items)

    @property
    def rows(self) -> tuple[int, int]:
        """The rows of users and of items, free ones included."""
        return len(self._users.names), len(self._items.names)

    def put(self, lists: Iterable[ShownList]) -> None:
        """Take over lists, the oldest first."""
        whole = [each for each in lists if each.items]
        if not whole:
            return
        items = np.array([self._items.of(item) for each in whole for item in each.items], np.int32)
        users = np.array([self._users.of(each.user) for each in whole], np.int32)
        self._grow(len(items))
        lengths = np.array([len(each.items) for each in whole], np.int32)
        moments = np.array([each.moment for each in whole])
        requests = np.array([hash(each.request) for each in whole], np.int64)
        gone = np.empty((2, len(items)), np.int32)
        count = _put(self._ring, users, lengths, moments, requests, items, gone)
        # What lost its last place in the middle may have got another one since.
        left = np.unique(gone[0, :count])
        self._users.forget(left[self._ring.newest[left] == NONE])
        left = np.unique(np.concatenate([gone[1, :count], items]))
        self._items.forget(left[self._ring.uses[left] == 0])

    def shown(self, user: str, times: int, since: float, but: str = "") -> list[str]:
        """The items that a user was shown `times` times or more since a moment, but for those of one request.

        Parameters
        ----------
        user : str
        times : int
        since : float
            In seconds since 1970.
        but : str
            The name of a request whose own list does not count: it is answered again.
        """
        number = self._users.find(user)
        if number is None:
            return []
        found = np.empty(MAX_OF_USER, np.int32)
        count = _shown(self._ring, number, since, hash(but), found)
        items, counts = np.unique(found[:count], return_counts=True)
        return [self._items.names[item] for item in items[counts >= times].tolist()]

    def _grow(self, places: int) -> None:
        ring = self._ring
        size, needed = len(ring.users), min(self._most, int(ring.meta[0]) + places)
        if needed > size:
            size = min(self._most, max(needed, 2 * size))
            by_slot = ("users", "items", "moments", "requests", "before")
            ring = ring._replace(**{name: grown(getattr(ring, name), size, 0) for name in by_slot})
        if len(self._users.names) > len(ring.newest):
            ring = ring._replace(newest=grown(ring.newest, 2 * len(self._users.names), NONE))
        if len(self._items.names) > len(ring.uses):
            ring = ring._replace(uses=grown(ring.uses, 2 * len(self._items.names), 0))
        self._ring = ring


class _Numbers:
    """Numbers of names; that of a forgotten name goes to the next new one."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def find(self, name: str) -> int | None:
        return self._numbers.get(name)

    def of(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.names[number] = name
            else:
                number = len(self.names)
                self.names.append(name)
            self._numbers[name] = number
        return number

    def forget(self, numbers: NDArray[np.int32]) -> None:
        for number in numbers.tolist():
            del self._numbers[self.names[number]]
            self.names[number] = ""
            self._free.append(number)


@kernel
def _put(ring, users, lengths, moments, requests, items, gone):
    """Put lists into the ring; `gone` gets users who may have lost their last place; returns their number."""
    size, lost, first = ring.users.size, 0, 0
    for number in range(users.size):
        user = users[number]
        last = first + lengths[number]
        if not _has(ring, user, requests[number]):
            for place in range(first, last):
                total = ring.meta[0]
                slot = total % size
                if total >= size:
                    old_user, old_item = ring.users[slot], ring.items[slot]
                    ring.uses[old_item] -= 1
                    if ring.newest[old_user] == total - size:
                        ring.newest[old_user] = NONE
                    gone[0, lost], gone[1, lost] = old_user, old_item
                    lost += 1
                ring.users[slot], ring.items[slot] = user, items[place]
                ring.moments[slot], ring.requests[slot] = moments[number], requests[number]
                ring.before[slot] = ring.newest[user]
                ring.newest[user] = total
                ring.uses[items[place]] += 1
                ring.meta[0] = total + 1
        first = last
    return lost


@kernel
def _has(ring, user, request):
    """A list of this request is there already."""
    size, oldest = ring.users.size, ring.meta[0] - ring.users.size
    at = ring.newest[user]
    for _ in range(MAX_OF_USER):
        if at < 0 or at < oldest:
            return False
        if ring.requests[at % size] == request:
            return True
        at = ring.before[at % size]
    return False


@kernel
def _shown(ring, user, since, but, found):
    """The items of a user's newest places since a moment; returns their number."""
    size, oldest = ring.users.size, ring.meta[0] - ring.users.size
    at, count = ring.newest[user], 0
    for _ in range(found.size):
        if at < 0 or at < oldest:
            break
        slot = at % size
        if ring.moments[slot] >= since and ring.requests[slot] != but:
            found[count] = ring.items[slot]
            count += 1
        at = ring.before[slot]
    return count


def warm() -> None:
    """Compile or load the kernels."""
    store = ShownStore(4)
    store.put([ShownList("a", "b", 0.0, ["c"])])
    store.shown("a", 1, 0.0)
