"""Learning of KNNBaseline: rows, sums of pairs and new baselines in one compiled loop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recommender.compiled import njit
from recommender.models import rating_rows
from recommender.models.base import NEVER
from recommender.models.knn_baseline import kept_pairs
from recommender.models.knn_baseline.baselines import refresh
from recommender.models.knn_baseline.kept_pairs import FOUND, SUMMED
from recommender.models.knn_baseline.similarities import count_rating

NAME = "knn-baseline"

#: Where counters keep the number that the next new rating gets.
NEXT_ORDER = 0


class LearningParameters(NamedTuple):
    """The options that learning depends on."""

    kind: int
    reg_u: float
    reg_i: float
    min_support: float
    shrinkage: float


@njit(cache=True, error_model="numpy")
def learn(  # type: ignore[no-untyped-def]
    users, items, b, p, kept, keeps, counters, begin, end, event_users, event_items, event_ratings
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
        if keeps == SUMMED:
            if place >= 0:
                count_rating(kept.sums, p.kind, users, user, item, users.values[place], -1.0)
            if not withdrawn:
                count_rating(kept.sums, p.kind, users, user, item, rating, 1.0)
            kept_pairs.refresh(kept, p.kind, p.min_support, p.shrinkage, users, user, item)
        elif keeps == FOUND:
            loses_first = withdrawn and place == users.start[user]
            _mark(kept, users, user, item, loses_first, not b.users_trained[user])
        if place < 0:
            rating_rows.append(users, user, item, rating, counters[NEXT_ORDER])
            rating_rows.append(items, item, user, rating, counters[NEXT_ORDER])
            counters[NEXT_ORDER] += 1
        else:
            twin = rating_rows.find(items, item, user)
            if withdrawn:
                rating_rows.remove(users, user, place)
                rating_rows.remove(items, item, twin)
            else:
                users.values[place] = rating
                items.values[twin] = rating
        refresh(b, users, items, user, item, p.reg_u, p.reg_i)
    return end


@njit(cache=True)
def _mark(kept, users, user, item, loses_first, moves):  # type: ignore[no-untyped-def]
    """Note which similarities a rating changes.

    Those of the item. And of all the user's items with each other, where the user's baseline moves, or where
    the first rating goes: users are added up in the order of their first ratings.
    """
    kept_pairs.mark(kept, item)
    if loses_first or moves:
        kept_pairs.mark_row(kept, users, user)


def next_training(event: int, retrain: int) -> int:
    """The first number of learned events after `event` that trains: 1, 2, 4, 8, ..., then every `retrain`."""
    if retrain == 0:
        return NEVER
    if event < retrain:
        return min(1 << event.bit_length(), retrain)
    return (event // retrain + 1) * retrain
