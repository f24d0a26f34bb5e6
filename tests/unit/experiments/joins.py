"""Recommendations and ratings, and a naive join of them."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

from recommender.experiments.attribution import Attribution
from recommender.experiments.attribution_tables import Counts

WINDOW = 10.0

#: Experiment, arm (with ! where it was forced), source, position and user.
Key = tuple[str, str, str, int, str]


class Shown(NamedTuple):
    """A record of the recommendations log."""

    user: str
    request: str
    experiment: str
    arm: str
    time: float
    items: tuple[str, ...]
    forced: bool = False

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """Item, source and position; every third place is explored."""
        return [(item, "explore" if n % 3 == 1 else "exploit", n) for n, item in enumerate(self.items)]


class Rated(NamedTuple):
    """A rating."""

    user: str
    item: str
    sign: int
    time: float
    offset: int


def add(attribution: Attribution, record: Shown | Rated) -> None:
    if isinstance(record, Rated):
        attribution.rated(*record)
    else:
        attribution.recommended(*record[:5], record.places, forced=record.forced)


def plain(counts: Counts) -> dict[Key, tuple[int, int, int]]:
    names, rows = counts.names, counts.rows
    return {
        (
            names["experiment"][row["experiment"]],
            names["arm"][row["arm"]] + "!" * int(row["forced"]),
            names["source"][row["source"]],
            int(row["position"]),
            names["user"][row["user"]],
        ): (int(row["places"]), int(row["attributed"]), int(row["positive"]))
        for row in rows
    }


def naive(
    records: list[Shown | Rated], since: float = -math.inf, until: float = math.inf
) -> dict[Key, tuple[int, int, int]]:
    """The rule, rating by rating in order of time."""
    # Each place of a list that was not logged before, in the window before it.
    places: list[tuple[Shown, str, str, int]] = []
    for each in sorted({each for each in records if isinstance(each, Shown)}, key=lambda each: each.time):
        for item, source, position in each.places:
            again = any(
                (other.user, other.request, known) == (each.user, each.request, item)
                and each.time - other.time <= WINDOW
                for other, known, _, _ in places
            )
            if not again:
                places.append((each, item, source, position))
    outcome = [0] * len(places)
    ratings = {each for each in records if isinstance(each, Rated) and each.sign}
    for rating in sorted(ratings, key=lambda each: (each.time, each.offset)):
        before = [
            (shown.time, shown.request, number)
            for number, (shown, item, _, _) in enumerate(places)
            if (shown.user, item) == (rating.user, rating.item) and shown.time <= rating.time
        ]
        if before and rating.time - max(before)[0] <= WINDOW:
            number = max(before)[2]
            outcome[number] = outcome[number] or rating.sign
    counts: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (shown, _, source, position), sign in zip(places, outcome, strict=True):
        if since <= shown.time < until:
            row = counts[(shown.experiment, shown.arm + "!" * shown.forced, source, position, shown.user)]
            row[0] += 1
            row[1] += sign != 0
            row[2] += sign > 0
    return {key: (places, rated, positive) for key, (places, rated, positive) in counts.items()}
