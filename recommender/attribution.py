"""Which ratings a recommendation led to: a windowed join of two topics by event time.

A rating is attributed to the latest place in which its item was recommended to its user, at most `window`
seconds before it; of a place's ratings the earliest counts. So each rating counts for one place at most,
and each place for one rating at most. Neutral ratings and withdrawals are no outcome.

The join is computed from all that was added, in an order of its own: by user, request and position, ties by
id. So its result does not depend on the order in which the two topics were read, nor on records that were
read twice. It is kept apart from what models learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.catalog import Catalog
from recommender.errors import RecommenderError

Arrays = dict[str, NDArray[np.generic]]
Ints = NDArray[np.int64]

#: Seven days, in seconds.
WINDOW = 7 * 86_400.0

_PLACE = np.dtype(
    [(name, np.int64) for name in ("user", "request", "item", "arm", "model", "source", "position")]
    + [("time", np.float64)]
)
_RATING = np.dtype(
    [("user", np.int64), ("item", np.int64), ("sign", np.int64), ("offset", np.int64), ("time", np.float64)]
)
_NAMES = ("users", "requests", "items", "arms", "models", "sources")


class AttributionError(RecommenderError):
    """What was recommended or rated cannot be joined, or a saved state does not fit."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of each place, sorted by user, request and position.

    Attributes
    ----------
    users, requests, items, arms, models, sources : int arrays, shape (places,)
        Numbers into `names`.
    positions : int array
        From 0.
    outcomes : int array
        1 after a positive, -1 after a negative rating, 0 after none.
    names : dict of str to list of str
        The ids of each of the above, sorted.
    """

    users: Ints
    requests: Ints
    items: Ints
    arms: Ints
    models: Ints
    sources: Ints
    positions: Ints
    outcomes: Ints
    names: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.outcomes)


class Attribution:
    """Collects what was recommended and what was rated, in any order, and joins them.

    Parameters
    ----------
    window : float
        Seconds after a recommendation in which a rating counts as its outcome, above 0.

    Raises
    ------
    AttributionError
        The window is not above 0.
    """

    def __init__(self, window: float = WINDOW) -> None:
        if not window > 0.0:
            raise AttributionError(f"the attribution window is {window:g} seconds: must be above 0")
        self.window = window
        self._catalogs = {name: Catalog() for name in _NAMES}
        self._places = _Table(_PLACE)
        self._ratings = _Table(_RATING)

    def recommended(
        self,
        user: str,
        request: str,
        arm: str,
        model: str,
        time: float,
        places: Sequence[tuple[str, str]],
    ) -> None:
        """Add what was recommended once.

        Parameters
        ----------
        user, request, arm, model : str
            `request` tells a user's recommendations apart; the same one again, as after a crash, is counted
            once.
        time : float
            When, in seconds.
        places : sequence of (item, source)
            From the first position to the last.
        """
        register = self._register
        shared = register("users", user), register("requests", request)
        made = register("arms", arm), register("models", model)
        for position, (item, source) in enumerate(places):
            self._places.append(
                (
                    *shared,
                    register("items", item),
                    *made,
                    register("sources", source),
                    position,
                    _finite(time),
                )
            )

    def rated(self, user: str, item: str, sign: int, time: float, offset: int = 0) -> None:
        """Add a rating.

        Parameters
        ----------
        user, item : str
        sign : int
            Above 0 for a positive one, below for a negative one; 0, neutral, is ignored.
        time : float
            When, in seconds.
        offset : int
            Orders a user's ratings of equal time.
        """
        if sign:
            known = self._register("users", user), self._register("items", item)
            self._ratings.append((*known, 1 if sign > 0 else -1, offset, _finite(time)))

    def _register(self, name: str, identifier: str) -> int:
        return self._catalogs[name].register(identifier)

    def join(self) -> Outcomes:
        """What became of each place, from all that was added so far."""
        ranks = {name: _ranks(self._catalogs[name]) for name in _NAMES}
        places = _unique_places(_renumbered(self._places.rows(), ranks))
        ratings = np.unique(_renumbered(self._ratings.rows(), ranks))
        outcomes = _outcomes(places, ratings, self.window)
        order = np.lexsort((places["position"], places["request"], places["user"]))
        places = places[order]
        return Outcomes(
            users=places["user"],
            requests=places["request"],
            items=places["item"],
            arms=places["arm"],
            models=places["model"],
            sources=places["source"],
            positions=places["position"],
            outcomes=outcomes[order],
            names={name: sorted(self._catalogs[name].ids()) for name in _NAMES},
        )

    def state(self) -> Arrays:
        """What was added, as named arrays; `restore` of it gives the same to the bit."""
        state: Arrays = {"window": np.array([self.window])}
        for kind, table in (("places", self._places), ("ratings", self._ratings)):
            rows = table.rows()
            state |= {f"{kind}/{name}": rows[name].copy() for name in rows.dtype.names or ()}
        for name, catalog in self._catalogs.items():
            state |= {f"{name}/{part}": array for part, array in catalog.state().items()}
        return state

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave.

        Raises
        ------
        AttributionError
            It was saved with another window.
        """
        window = float(np.asarray(state["window"], np.float64)[0])
        if window != self.window:
            raise AttributionError(f"the saved window is {window:g} seconds, expected {self.window:g}")
        for kind, table in (("places", self._places), ("ratings", self._ratings)):
            table.restore({name: state[f"{kind}/{name}"] for name in table.rows().dtype.names or ()})
        for name, catalog in self._catalogs.items():
            catalog.restore({part: state[f"{name}/{part}"] for part in ("bytes", "lengths")})


class _Table:
    """Rows that only grow."""

    def __init__(self, kind: np.dtype[np.void]) -> None:
        self._rows = np.zeros(64, kind)
        self._count = 0

    def append(self, row: tuple[int | float, ...]) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[self._count] = row
        self._count += 1

    def rows(self) -> NDArray[np.void]:
        return self._rows[: self._count]

    def restore(self, columns: Arrays) -> None:
        self._count = len(next(iter(columns.values())))
        self._rows = np.zeros(max(64, self._count), self._rows.dtype)
        for name, column in columns.items():
            self._rows[name][: self._count] = column


def _finite(time: float) -> float:
    if not np.isfinite(time):
        raise AttributionError(f"the time of a recommendation or rating is {time}: must be seconds")
    return time


def _ranks(catalog: Catalog) -> Ints:
    """Each index's place among the sorted ids, so that numbers do not tell who was read first."""
    ids = catalog.ids()
    ranks = np.empty(len(ids), np.int64)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return ranks


def _renumbered(rows: NDArray[np.void], ranks: dict[str, Ints]) -> NDArray[np.void]:
    renumbered = rows.copy()
    for name in rows.dtype.names or ():
        if f"{name}s" in ranks:
            renumbered[name] = ranks[f"{name}s"][rows[name]]
    return renumbered


def _unique_places(places: NDArray[np.void]) -> NDArray[np.void]:
    """One row for each user, request and item: the earliest, ties by everything else."""
    keys = ("source", "model", "arm", "position", "time", "item", "request", "user")
    ordered = places[np.lexsort([places[name] for name in keys])]
    return ordered[_firsts(ordered, ("user", "request", "item"))]


def _firsts(rows: NDArray[np.void], keys: tuple[str, ...]) -> NDArray[np.bool_]:
    """Of sorted rows, those that differ from the one before in any of the keys."""
    first = np.ones(len(rows), np.bool_)
    if len(rows):
        first[1:] = np.any([rows[name][1:] != rows[name][:-1] for name in keys], axis=0)
    return first


def _outcomes(places: NDArray[np.void], ratings: NDArray[np.void], window: float) -> Ints:
    """The sign of the rating that each place led to; 0 where it led to none."""
    count = len(places)
    both = {name: np.concatenate([places[name], ratings[name]]) for name in ("user", "item", "time")}
    is_rating = np.arange(count + len(ratings)) >= count
    # At equal times a rating answers the recommendation; among recommendations the last request counts.
    ties = np.concatenate([places["request"], ratings["offset"]])
    order = np.lexsort((ties, is_rating, both["time"], both["item"], both["user"]))
    place = np.where(is_rating[order], -1, order)
    latest = np.maximum.accumulate(np.where(place >= 0, np.arange(len(order)), -1))
    rating_rows = np.flatnonzero(is_rating[order] & (latest >= 0))
    rated, led = order[rating_rows], order[latest[rating_rows]]
    joined = (
        (both["user"][rated] == both["user"][led])
        & (both["item"][rated] == both["item"][led])
        & (both["time"][rated] - both["time"][led] <= window)
    )
    rated, led = rated[joined], led[joined]
    outcomes = np.zeros(count, np.int64)
    # In this order a place's ratings follow each other, the earliest first.
    _, first = np.unique(led, return_index=True)
    outcomes[led[first]] = ratings["sign"][rated[first] - count]
    return outcomes
