"""The ratings that a recommendation led to: a windowed join of two logs by event time.

A rating is attributed to the latest place in which its item was recommended to its user, at most `window`
seconds before it; of a place's ratings the earliest counts. So each rating counts for one place at most,
and each place for one rating at most. Neutral ratings and withdrawals are no outcome.

The join is a function of the set of what was added: neither the order nor what comes twice matters. Once it
is known that nothing older than a certain time will come - the watermark of Akidau et al. (2015) - what that
settles is folded into counts, and only what lies within the window stays in memory. All of it is kept apart
from what models learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.errors import RecommenderError
from recommender.experiments.attribution_tables import (
    COUNT,
    NAMED,
    NUMBERED,
    PLACE,
    RATING,
    Counts,
    StructArray,
    Table,
    attribute,
    counts_once,
    ranks_of,
    renumbered,
    summed,
)
from recommender.experiments.names import Names
from recommender.history.arrays import Arrays

Tables = dict[str, StructArray]

#: Seven days, in seconds.
WINDOW = 7 * 86_400.0

_KINDS = {"place": PLACE, "rating": RATING, "count": COUNT}


class AttributionError(RecommenderError):
    """A recommendation or rating cannot be joined."""


class Attribution:
    """Collects what was recommended and what was rated, in any order, and joins them.

    Parameters
    ----------
    window : float
        Seconds after a recommendation in which a rating counts as its outcome, above 0. A user's request
        that is logged again within this time is the same one.
    since, until : float
        Only recommendations from the one time to before the other, in seconds, are counted.

    Attributes
    ----------
    watermark : float
        Nothing older may be added.

    Raises
    ------
    AttributionError
        The window is not above 0.
    """

    def __init__(self, window: float = WINDOW, since: float = -math.inf, until: float = math.inf) -> None:
        if not window > 0.0:
            raise AttributionError(f"the attribution window is {window:g} seconds: must be above 0")
        self.window = window
        self.since = since
        self.until = until
        self.watermark = -math.inf
        self._names = {name: Names() for name in NUMBERED}
        self._tables = {name: Table(kind) for name, kind in _KINDS.items()}

    def __len__(self) -> int:
        """Places and ratings that are not settled yet."""
        return len(self._tables["place"]) + len(self._tables["rating"])

    def recommended(
        self,
        user: str,
        request: str,
        experiment: str,
        arm: str,
        time: float,
        places: Sequence[tuple[str, str, int]],
        *,
        forced: bool = False,
    ) -> None:
        """Add what was recommended once.

        Parameters
        ----------
        user, request, experiment, arm : str
            `request` tells a user's recommendations apart; the same one again, as after a crash, is counted
            once.
        time : float
            When, in seconds.
        places : sequence of (item, source, position)
        forced : bool
            The request named the arm.

        Raises
        ------
        AttributionError
            The time is no number, or older than the watermark.
        """
        self._check(time, time)
        numbers, append = self._names, self._tables["place"].append
        asked = time, numbers["user"].register(user), numbers["request"].register(request)
        made = numbers["experiment"].register(experiment), numbers["arm"].register(arm)
        item_of, source_of = numbers["item"].register, numbers["source"].register
        for item, source, position in places:
            append((*asked, item_of(item), *made, source_of(source), position, forced, 0))

    def rated(self, user: str, item: str, sign: int, time: float, offset: int = 0) -> None:
        """Add a rating, as `rated_all` does."""
        self.rated_all([user], [item], np.array([sign]), np.array([time]), np.array([offset]))

    def rated_all(
        self,
        users: Sequence[str],
        items: Sequence[str],
        signs: NDArray[np.integer],
        times: NDArray[np.float64],
        offsets: NDArray[np.integer],
    ) -> None:
        """Add ratings.

        Parameters
        ----------
        users, items : sequence of str
        signs : int array, shape (ratings,)
            Above 0 for a positive one, below for a negative one; 0, neutral, is ignored.
        times : float array, shape (ratings,)
            When, in seconds.
        offsets : int array, shape (ratings,)
            Order a user's ratings of equal time.

        Raises
        ------
        AttributionError
            A time is no number, or older than the watermark.
        """
        if not len(users):
            return
        self._check(float(times.min()), float(times.max()))
        rows = np.zeros(len(users), RATING)
        rows["time"], rows["offset"], rows["sign"] = times, offsets, np.sign(signs)
        rows["user"] = self._names["user"].register_all(users)
        rows["item"] = self._names["item"].register_all(items)
        self._tables["rating"].extend(rows[rows["sign"] != 0])

    def _check(self, earliest: float, latest: float) -> None:
        for time in (earliest, latest):
            if not math.isfinite(time):
                raise AttributionError(f"invalid timestamp {time}: expected seconds since 1970")
        if earliest < self.watermark:
            raise AttributionError(
                f"the time of a recommendation or rating is {earliest:.3f}: older than what is settled, "
                f"{self.watermark:.3f}"
            )

    def settle(self, watermark: float) -> None:
        """Fold what is certain into counts: from now on nothing older than `watermark` will be added."""
        if watermark <= self.watermark:
            return
        tables = self._in_order()
        places, ratings = tables["place"], tables["rating"]
        # Whether a row repeats another is certain once all rows before it are there.
        places = places[counts_once(places, self.window) | (places["time"] >= watermark)]
        certain = ratings["time"] < watermark
        attribute(places, ratings[certain], self.window)
        # The same subtraction as that of a rating's and its place's times: so rounding cannot disagree.
        over = watermark - places["time"] > self.window
        tables["count"] = summed(np.concatenate([tables["count"], self._counted(places[over])]))
        tables["place"], tables["rating"] = places[~over], ratings[~certain]
        for name, rows in tables.items():
            self._tables[name].replace(rows)
        self._forget_names()
        self.watermark = watermark

    def counts(self) -> Counts:
        """Count all that was added so far."""
        tables = self._in_order()
        places = tables["place"][counts_once(tables["place"], self.window)]
        attribute(places, tables["rating"], self.window)
        rows = summed(np.concatenate([tables["count"], self._counted(places)]))
        return Counts(rows, {name: sorted(self._names[name].all()) for name in NAMED})

    def _counted(self, places: StructArray) -> StructArray:
        """One row of counts for each place that is to be counted."""
        places = places[(places["time"] >= self.since) & (places["time"] < self.until)]
        rows = np.zeros(len(places), COUNT)
        for name in (*NAMED, "forced", "position"):
            rows[name] = places[name]
        rows["places"] = 1
        rows["attributed"], rows["positive"] = places["sign"] != 0, places["sign"] > 0
        return rows

    def _in_order(self) -> Tables:
        """Copies of all rows, with the places of names among the sorted ones: so no number tells when."""
        ranks = {name: ranks_of(names) for name, names in self._names.items()}
        return {name: renumbered(table.rows(), ranks) for name, table in self._tables.items()}

    def _forget_names(self) -> None:
        """Renumber, in order, the names that any row still needs; rows have the places of `_in_order`."""
        for name, names in self._names.items():
            ids = sorted(names.all())
            tables = [table.rows() for table in self._tables.values()]
            tables = [rows for rows in tables if name in (rows.dtype.names or ())]
            used = np.unique(np.concatenate([rows[name] for rows in tables]))
            for rows in tables:
                rows[name] = np.searchsorted(used, rows[name])
            self._names[name] = Names(ids[number] for number in used)

    def state(self) -> Arrays:
        """All that was added, as named arrays; `restore` of them continues as if there had been no break."""
        state: Arrays = {"watermark": np.array([self.watermark])}
        for kind, table in self._tables.items():
            rows = table.rows()
            state |= {f"{kind}/{name}": rows[name].copy() for name in rows.dtype.names or ()}
        for name, names in self._names.items():
            state |= {f"names/{name}/{part}": array for part, array in names.state().items()}
        return state

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave, with the same window and range of times."""
        self.watermark = float(np.asarray(state["watermark"], np.float64)[0])
        for kind, table in self._tables.items():
            names = _KINDS[kind].names or ()
            rows = np.zeros(len(state[f"{kind}/{names[0]}"]), _KINDS[kind])
            for name in names:
                rows[name] = state[f"{kind}/{name}"]
            table.replace(rows)
        for name, numbers in self._names.items():
            numbers.restore({part: state[f"names/{name}/{part}"] for part in ("bytes", "lengths")})
