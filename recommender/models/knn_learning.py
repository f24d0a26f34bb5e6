"""How KNNBaseline takes in ratings: rows, sums of pairs and new baselines in one compiled loop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from recommender.models import rating_rows
from recommender.models.baselines import refresh
from recommender.models.similarities import count_rating

#: Where counters keep the number that the next new rating gets, and how many ratings stand.
NEXT_ORDER, STANDING = 0, 1


class LearningParameters(NamedTuple):
    """What learning depends on beside the ratings."""

    kind: int
    reg_u: float
    reg_i: float


@njit(cache=True, error_model="numpy")
def learn(  # type: ignore[no-untyped-def]
    users, items, b, p, pairs, has_pairs, counters, begin, end, event_users, event_items, event_ratings
):
    """Learn events `begin` to `end`; returns the first that did not fit, `end` if all did."""
    for e in range(begin, end):
        user, item, rating = event_users[e], event_items[e], event_ratings[e]
        place = rating_rows.find(users, user, item)
        withdrawn = np.isnan(rating)
        if place < 0 and withdrawn:
            continue
        if place < 0 and not (rating_rows.has_room(users, user) and rating_rows.has_room(items, item)):
            return e
        if has_pairs:
            if place >= 0:
                count_rating(pairs, p.kind, users, user, item, users.values[place], -1.0)
            if not withdrawn:
                count_rating(pairs, p.kind, users, user, item, rating, 1.0)
        if place < 0:
            rating_rows.append(users, user, item, rating, counters[NEXT_ORDER])
            rating_rows.append(items, item, user, rating, counters[NEXT_ORDER])
            counters[NEXT_ORDER] += 1
            counters[STANDING] += 1
        else:
            twin = rating_rows.find(items, item, user)
            if withdrawn:
                rating_rows.remove(users, user, place)
                rating_rows.remove(items, item, twin)
                counters[STANDING] -= 1
            else:
                users.values[place] = rating
                items.values[twin] = rating
        refresh(b, users, items, user, item, p.reg_u, p.reg_i)
    return end
