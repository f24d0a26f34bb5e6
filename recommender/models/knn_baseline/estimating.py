"""Estimates from what was learned: by users, by items, and by similarities that are kept."""

from __future__ import annotations

import numpy as np

from recommender.models.base import FloatArray, IntArray
from recommender.models.knn_baseline import found_similarities, neighbourhoods
from recommender.models.knn_baseline.baselines import Baselines
from recommender.models.knn_baseline.kept_pairs import KeptPairs
from recommender.models.knn_baseline.similarities import Parameters
from recommender.models.rating_rows import RatingRows
from recommender.models.sequence.sequence_knn import Profile

#: Users' rows of ratings, items' rows, the baselines, and how they are used.
Learned = tuple[RatingRows, RatingRows, Baselines, Parameters]
#: Estimated ratings and actual neighbours, each of shape (candidates,).
Found = tuple[FloatArray, IntArray]


def by_users(learned: Learned, user: int, candidates: IntArray) -> Found:
    """Estimate from the ratings of the users most similar to this one."""
    scores, neighbours = _empty(candidates)
    neighbourhoods.estimate_by_users(*learned, user, candidates, scores, neighbours)
    return scores, neighbours


def by_items(learned: Learned, user: int, candidates: IntArray) -> Found:
    """Estimate from the user's own ratings, with similarities that are found for some candidates at once."""
    scores, neighbours = _empty(candidates)
    mine = found_similarities.items_of(learned[0], user)
    height = found_similarities.block_height(mine)
    for first in range(0, len(candidates), height):
        part = slice(first, first + height)
        pairs = found_similarities.found_block(*learned, mine, candidates[part])
        asked = True, user, candidates[part], scores[part], neighbours[part]
        neighbourhoods.estimate_by_items(*learned, *pairs, *asked)
    return scores, neighbours


def by_kept_pairs(learned: Learned, pairs: KeptPairs, user: int, candidates: IntArray) -> Found:
    """Estimate from the user's own ratings, with similarities that are kept."""
    scores, neighbours = _empty(candidates)
    kept = pairs.similarities, pairs.levels
    neighbourhoods.estimate_by_items(*learned, *kept, False, user, candidates, scores, neighbours)
    return scores, neighbours


def summed_similarities(learned: Learned, profile: Profile, candidates: IntArray) -> FloatArray:
    """The candidates' similarities to a profile's items that are above 0, added up by their strengths."""
    candidates = np.ascontiguousarray(candidates, np.int32)
    similar = np.zeros((len(profile.items), len(candidates)))
    found_similarities.of_items(*learned, profile.items, candidates, similar)
    scores = np.zeros(len(candidates))
    for row, strength in zip(np.maximum(similar, 0.0), profile.strengths, strict=True):
        scores += strength * row
    return scores


def _empty(candidates: IntArray) -> Found:
    return np.empty(len(candidates)), np.empty(len(candidates), np.int32)
