"""Item to item, and which of a user's own items speak for a recommendation."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from recommender.models.base import FloatArray, IntArray
from recommender.models.sequence.sequence_knn import Profile

#: How much less an item of a guest's history counts than the one after it.
HISTORY_DECAY = 0.8
#: Items of a guest's history that are looked around, at most.
HISTORY_ITEMS = 20
#: Own items with a smaller share of the evidence are not named.
LEAST_SHARE = 0.005


@runtime_checkable
class Profiling(Protocol):
    """A model whose scores come from evidence around the user's own items.

    One that takes only short profiles says so in `longest_profile`.
    """

    def profile(self, user: int) -> Profile:
        """The user's items that evidence is sought around, and how strongly each counts."""

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """The evidence for each candidate."""


@runtime_checkable
class Comparing(Protocol):
    """A model that knows which items are alike, though not which of a user's items a score comes from."""

    def alike(self, item: int, candidates: IntArray) -> FloatArray:
        """The similarity of each candidate to an item; 0 for what is unknown."""


def similar_items(model: Profiling | Comparing, item: int, candidates: IntArray) -> FloatArray:
    """The similarity of each candidate to an item, as the model sees it; the item itself scores 0.

    Parameters
    ----------
    model : Profiling or Comparing
    item : int
    candidates : int32 array

    Returns
    -------
    float array, shape (candidates,)
        Higher is more similar; all 0 for an item that nobody rated.
    """
    if isinstance(model, Profiling):
        scores = model.score_profile(Profile(-1, np.array([item], np.int32), np.ones(1)), candidates)
    else:
        scores = model.alike(item, candidates)
    scores[candidates == item] = 0.0
    return scores


def profile_of(model: Profiling, items: IntArray) -> Profile:
    """The profile of somebody of whom nothing is known but some items, the newest first."""
    newest = items[: min(getattr(model, "longest_profile", HISTORY_ITEMS), HISTORY_ITEMS)]
    strengths = np.empty(len(newest))
    strength = 1.0
    for place in range(len(newest)):
        strengths[place] = strength
        strength *= HISTORY_DECAY
    return Profile(-1, newest, strengths)


def explain(model: Profiling, user: int, items: IntArray) -> list[list[tuple[int, float]]]:
    """The user's own items that speak for each item, with their shares of the evidence.

    Each own item is asked alone, so a share says what that item finds by itself.

    Returns
    -------
    list of list of (own item, share)
        For each of `items`, the largest share first; shares add up to at most 1. Empty where no own item
        speaks for it, as when it is recommended for being popular.
    """
    profile = model.profile(user)
    said = np.zeros((len(profile.items), len(items)))
    for k in range(len(profile.items)):
        alone = Profile(user, profile.items[k : k + 1], profile.strengths[k : k + 1])
        said[k] = model.score_profile(alone, items)
    totals = said.sum(axis=0)
    reasons: list[list[tuple[int, float]]] = []
    for column, total in enumerate(totals.tolist()):
        shares = said[:, column] / total if total > 0.0 else said[:, column]
        order = [k for k in np.argsort(-shares, kind="stable").tolist() if shares[k] >= LEAST_SHARE]
        reasons.append([(int(profile.items[k]), float(shares[k])) for k in order])
    return reasons
