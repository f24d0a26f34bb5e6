"""Ratings in log order, by user and by item: the state that the models read."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol
from weakref import WeakSet

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recommender.history import index, kernels, layout, leaving, packing
from recommender.history.events import Events, Floats, Ints, events_of
from recommender.history.layout import HistoryArrays
from recommender.history.state import State, packed, unpacked


class Copy(Protocol):
    """A copy of a history in the making."""

    def forget_user(self, user: int) -> None:
        """Take note that the user's record begins again."""


class History:
    """Each user's current ratings in order, and each item's newest raters.

    Its content depends on the events and their order alone, never on how they were cut into batches:

    * A user's rating events are numbered 0, 1, 2, ...; a number is never used again, and a withdrawal
      takes none.
    * An *entry* is a rating that stands. Rating an item again removes the earlier entry and appends a new
      one; a withdrawal removes it; withdrawing what does not stand changes nothing. Events of negative
      or zero weight are entries like any other.
    * Consecutive rating events of a user with an equal time form a *run*, cut after `RUN_LIMIT` events; a
      time of NaN equals nothing. An entry's *position* is the mean event number of its run, whether or not
      the run's other entries still stand; it is kept doubled (first plus last number), an integer.
    * Each item keeps a ring of its newest `raters_per_item` rating events as (user, entry); those since
      replaced or withdrawn keep their place in the ring, but are marked as removed.
    * Who is forgotten, a user or an item, is as if never seen, once all ratings are withdrawn; whoever is
      given the index then is new.
    * All events count, withdrawals too, in `event_count`, which numbers them for the items' first and
      last rating event and for samples of events.

    Parameters
    ----------
    raters_per_item : int
        How many of an item's newest rating events are kept, at least 1.
    highest : bool
        A rating that is lower than the one that stands is taken for one of the same value: it is an event
        that lowers nothing.
    """

    def __init__(self, raters_per_item: int = 256, *, highest: bool = False) -> None:
        self.highest = highest
        if raters_per_item < 1:
            raise ValueError(f"raters_per_item must be at least 1, got {raters_per_item}")
        self.raters_per_item = raters_per_item
        #: How many events were withdrawals of who or what left by a bound, as whoever lets them leave says;
        #: no part of the content.
        self.left = 0
        #: Copies in the making, which see by its numbers alone whether a user has changed.
        self.copies: WeakSet[Copy] = WeakSet()
        self._arrays = layout.empty_arrays()

    def append(
        self, users: ArrayLike, items: ArrayLike, ratings: ArrayLike, weights: ArrayLike, times: ArrayLike
    ) -> Events:
        """Learn events in log order.

        Parameters
        ----------
        users, items : arrays of int, one length
            Dense indices from 0; new ones need no registration.
        ratings : array of float
            NaN withdraws.
        weights : array of float
            Ignored where the rating is withdrawn.
        times : array of float
            Seconds, or NaN.

        Returns
        -------
        Events
            The same events, as they count, and what each of them replaced or withdrew.

        Raises
        ------
        ValueError
            The arrays' lengths differ or an index is negative; then nothing was learned.
        """
        events = events_of(users, items, ratings, weights, times)
        if self.highest:  # what is given stays as it is
            events = replace(events, ratings=events.ratings.copy())
        done, count = 0, len(events)
        while done < count:
            done, lacking = kernels.append(
                self._arrays,
                self.raters_per_item,
                self.highest,
                done,
                events.users,
                events.items,
                events.ratings,
                events.weights,
                events.times,
                events.previous_ratings,
                events.previous_weights,
                events.numbers,
                events.previous_positions,
            )
            if lacking == layout.NEGATIVE:
                raise ValueError(
                    f"event {done}: user {events.users[done]} and item {events.items[done]}: "
                    "indices must not be negative"
                )
            if lacking != layout.DONE:
                layout.grow(self._arrays, lacking, self.raters_per_item)
        return events

    def withdraw_all(self, users: Ints) -> Events:
        """Withdraw all ratings of users, as `append` would one after the other, each user's oldest first.

        Returns
        -------
        Events
            As `append` returns them.
        """
        users = users[(users >= 0) & (users < self.user_count)]
        count = int(self._arrays.users["live"][users].sum())
        owners, items, numbers, positions = (np.empty(count, np.int32) for _ in range(4))
        ratings, weights = (np.empty(count, np.float32) for _ in range(2))
        leaving.withdraw_all(self._arrays, users, owners, items, ratings, weights, numbers, positions)
        nothing, no_weights = np.full(count, np.nan, np.float32), np.zeros(count, np.float32)
        times = np.zeros(count)
        return Events(owners, items, nothing, no_weights, times, ratings, weights, numbers, positions)

    def forget_user(self, user: int) -> None:
        """Clear the record of one user; see `forget_users`."""
        self.forget_users(np.array([user], np.int32))

    def forget_users(self, users: Ints) -> None:
        """Clear the records of users whose ratings are all withdrawn.

        Raises
        ------
        ValueError
            A rating of one of them stands.
        """
        users = users[(users >= 0) & (users < self.user_count)]
        standing = users[self._arrays.users["live"][users] > 0]
        if len(standing):
            raise ValueError(f"user {standing[0]} has ratings that stand: expected none of whom is forgotten")
        leaving.clear_users(self._arrays, users)
        if len(self.copies):  # to begin an iteration costs more than all of the above
            for each in self.copies:
                for user in users.tolist():
                    each.forget_user(user)

    def forget_item(self, item: int) -> None:
        """Clear the record of one item; see `forget_items`."""
        self.forget_items(np.array([item], np.int32))

    def forget_items(self, items: Ints) -> None:
        """Clear the records of items all of whose ratings are withdrawn.

        Raises
        ------
        ValueError
            A rating of one of them stands.
        """
        items = items[(items >= 0) & (items < self.item_count)]
        standing = items[self._arrays.items["count"][items] > 0]
        if len(standing):
            raise ValueError(f"item {standing[0]} has ratings that stand: expected none of what is forgotten")
        leaving.clear_items(self._arrays, items)

    def raters_of(self, item: int) -> Ints:
        """All users whose rating of the item stands, ascending; `raters` knows the newest.

        Of an item with more ratings than are kept by item it looks at all users; see `finds_raters`.
        """
        if not 0 <= item < self.item_count:
            return np.empty(0, np.int32)
        users: Ints = np.empty(int(self._arrays.items["count"][item]), np.int32)
        count = leaving.raters_of(self._arrays, item, users)
        return np.sort(users[:count])

    def finds_raters(self, item: int) -> bool:
        """Return True if all raters of an item are known without looking at all users."""
        if not 0 <= item < self.item_count:
            return True
        return int(self._arrays.items["events"][item]) <= self.raters_per_item

    def entries_of_marked(
        self, marks: NDArray[np.uint8], first: int, count: int, most: int
    ) -> tuple[int, Ints, Ints]:
        """The entries of marked items that some users have.

        Parameters
        ----------
        marks : uint8 array
            By item.
        first, count : int
            The user to begin with, and how many to look at.
        most : int
            Ends earlier where there may be more entries than this.

        Returns
        -------
        next_user : int
        users, items : int32 arrays
        """
        last = min(first + count, self.user_count)
        longest = int(self._arrays.users["live"][first:last].max(initial=0))
        users, items = (np.empty(max(most, longest), np.int32) for _ in range(2))
        user, found = leaving.entries_of_marked(self._arrays, marks, first, last, users, items)
        return int(user), users[:found], items[:found]

    @property
    def arrays(self) -> HistoryArrays:
        """The raw arrays, for kernels; do not keep them over an `append`, and do not write."""
        return self._arrays

    @property
    def user_count(self) -> int:
        """The largest user index seen, plus one."""
        return int(self._arrays.meta[layout.USER_COUNT])

    @property
    def item_count(self) -> int:
        """The largest item index seen, plus one."""
        return int(self._arrays.meta[layout.ITEM_COUNT])

    @property
    def event_count(self) -> int:
        """Events learned so far, withdrawals included."""
        return int(self._arrays.meta[layout.EVENT_COUNT])

    @property
    def rating_count(self) -> int:
        """Ratings that stand."""
        return int(self._arrays.meta[layout.RATING_COUNT])

    @property
    def longest(self) -> int:
        """The most that any user's ratings ever had room for: nobody has more of them."""
        return int(self._arrays.meta[layout.LONGEST])

    @property
    def item_counts(self) -> Ints:
        """The number of users whose rating of each item stands; int32, shape (items,); a copy."""
        counts: Ints = self._arrays.items["count"][: self.item_count].copy()
        return counts

    def counts_of(self, items: Ints) -> Ints:
        """The number of users whose rating of these items stands; 0 for an item that is yet to come."""
        known = items < self.item_count
        if known.all():
            counts: Ints = self._arrays.items["count"][items]
            return counts
        counts = np.zeros(len(items), np.int32)
        counts[known] = self._arrays.items["count"][items[known]]
        return counts

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays, in bytes."""
        return sum(array.nbytes for array in self._arrays)

    def rated(self, user: int) -> tuple[Ints, Floats, Floats]:
        """Items, ratings and weights of the user's entries, oldest first; empty for an unknown user."""
        places = packing.entries_of(self._arrays, user)
        a = self._arrays
        return a.entry_items[places], a.entry_ratings[places], a.entry_weights[places]

    def items_of(self, user: int) -> Ints:
        """Items of the user's entries, oldest first; empty for an unknown user. Quicker than `rated`."""
        if not 0 <= user < self.user_count:
            return np.empty(0, np.int32)
        record = self._arrays.users[user]
        start = int(record["start"])
        items = self._arrays.entry_items[start : start + int(record["used"])]
        return items[items >= 0]

    def oldest_items(self, users: Ints, counts: Ints) -> Ints:
        """Items of the oldest entries of users, of each so many; nobody has fewer."""
        items: Ints = np.empty(int(counts.sum()), np.int32)
        leaving.oldest_items(self._arrays, users, counts, items)
        return items

    def has(self, user: int) -> bool:
        """Return True if any rating of the user stands."""
        return 0 <= user < self.user_count and bool(self._arrays.users["live"][user] > 0)

    def rating(self, user: int, item: int) -> float | None:
        """The user's standing rating of the item, or None."""
        slot = index.find(self._arrays, user, item)
        if slot < 0:
            return None
        return float(self._arrays.entry_ratings[self._arrays.users["start"][user] + slot])

    def standing(
        self, users: Ints, items: Ints, ratings: Floats, begin: int, places: NDArray[np.intp]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return, of some events to come, what is so just before each.

        A rating of the pair stands; and there was no event of that item or one after it.

        Parameters
        ----------
        users, items : int32 arrays
        ratings : float32 array
            Events, of which the one at `begin` is the next to be learned.
        begin : int
        places : int array, ascending
            Of the events in question, not before that.
        """
        again, fresh = np.empty((2, len(places)), np.bool_)
        index.standing(self._arrays, users, items, ratings, begin, places, again, fresh)
        return again, fresh

    def raters(self, item: int) -> Ints:
        """Users in the item's ring whose ratings stand, oldest first."""
        if not 0 <= item < self.item_count:
            return np.empty(0, np.int32)
        record = self._arrays.items[item]
        events, capacity = int(record["events"]), int(record["capacity"])
        newest = np.arange(max(0, events - capacity), events)
        users = self._arrays.ring_users[record["start"] + newest % max(1, capacity)]
        return users[users >= 0]

    def state(self) -> State:
        """The content as dense arrays; histories of equal content give equal bytes.

        Returns
        -------
        dict of arrays
            `user_*` of shape (users,), `item_*` of shape (items,), `entry_*` user by user in order, `ring_*`
            item by item, oldest first (-1 where removed; `ring_entries` counts the user's entries), and
            `counters`: events, raters for each item.
        """
        return packed(self._arrays, self.raters_per_item)

    def restore(self, state: State) -> None:
        """Take over what `state` gave; going on equals never having stopped.

        Raises
        ------
        HistoryError
            It was saved with another `raters_per_item`, or its arrays contradict each other.
        """
        self._arrays = unpacked(state, self.raters_per_item)


def warm() -> None:
    """Compile or load every kernel of the history."""
    history = History(1)
    history.append([0, 0], [0, 1], [1.0, 2.0], [1.0, 1.0], [0.0, 0.0])
    history.rating(0, 1)
    one = np.zeros(1, np.int32)
    history.standing(one, one, np.ones(1, np.float32), 0, np.zeros(1, np.intp))
    history.rated(0)
    history.restore(history.state())
    history.raters_of(0)
    history.entries_of_marked(np.zeros(1, np.uint8), 0, 1, 1)
    history.oldest_items(one, one)
    history.withdraw_all(one)
    history.forget_users(one)
    history.forget_items(one)
