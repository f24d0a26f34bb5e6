"""Item cosine: items liked by the users who like your items, relative to how many like them at all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.history.history import History
from recommender.models.base import FloatArray, IntArray, ModelContext
from recommender.models.cooccurrence.cooc import Cooc
from recommender.models.pairs import pair_index


class Cosine(Cooc):
    r"""Cosines between items' sets of users, kept up to date at each event.

    .. math:: score(u, j) = \sum_{i \in L(u), i \ne j} |U_i \cap U_j| / \sqrt{|U_i| |U_j|}

    Item-based collaborative filtering (Sarwar et al.: Item-based collaborative filtering recommendation
    algorithms, WWW 2001) on likes, in the incremental form of Papagelis et al.: Incremental collaborative
    filtering for highly-scalable recommendation algorithms (2005): the counts that cosines are made of are
    what is updated. L(u), U_i and the memory are as in `recommender.models.cooccurrence.cooc`.

    Parameters
    ----------
    context : ModelContext
    memory : int
        MiB that counts of pairs may take.

    Raises
    ------
    ModelError
        `memory` is negative.
    """

    name = "cosine"

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """The sum of cosines with what the user likes."""
        scores = np.zeros(len(candidates))
        candidates = np.ascontiguousarray(candidates, np.int32)
        if 0 <= user < self._user_count:
            if self.keeps_pairs:
                _add_kept(self._pairs, self._item_count, self._users, self._items, user, candidates, scores)
            else:
                _add_found(self._users, self._items, user, candidates, scores)
        return scores

    def _relative(self, item: int, others: IntArray, both: NDArray[np.int64]) -> FloatArray:
        """The cosine of an item with each of the others."""
        own, lengths = float(self._items.length[item]), self._items.length[others].astype(np.float64)
        cosines: FloatArray = both / np.sqrt(np.maximum(own * lengths, 1.0))
        return cosines

    @staticmethod
    def warm() -> None:
        """Compile, or load from the cache, every kernel."""
        Cooc.warm()
        for memory in (1, 0):
            history = History()
            model = Cosine(ModelContext(history), memory=memory)
            model.learn(history.append([0, 0], [0, 1], [1.0, 1.0], [1.0, 1.0], [0.0, 1.0]))
            model.score(0, np.zeros(1, np.int32))


@njit(cache=True)
def _add_kept(pairs, item_count, users, items, user, candidates, scores):  # type: ignore[no-untyped-def]
    begin, end = users.start[user], users.start[user] + users.length[user]
    for c in range(candidates.size):
        item = candidates[c]
        if not 0 <= item < item_count:
            continue
        for place in range(begin, end):
            liked = users.others[place]
            if liked != item:
                both = pairs[pair_index(liked, item)]
                if both > 0:
                    scores[c] += both / math.sqrt(np.float64(items.length[liked]) * items.length[item])


@njit(cache=True)
def _add_found(users, items, user, candidates, scores):  # type: ignore[no-untyped-def]
    totals, both = np.zeros(items.start.size), np.zeros(items.start.size, np.int64)
    for place in range(users.start[user], users.start[user] + users.length[user]):
        liked = users.others[place]
        for p in range(items.start[liked], items.start[liked] + items.length[liked]):
            other = items.others[p]
            for q in range(users.start[other], users.start[other] + users.length[other]):
                both[users.others[q]] += 1
        both[liked] = 0
        for item in range(both.size):
            if both[item] > 0:
                totals[item] += both[item] / math.sqrt(np.float64(items.length[liked]) * items.length[item])
                both[item] = 0
    for c in range(candidates.size):
        if 0 <= candidates[c] < items.start.size:
            scores[c] = totals[candidates[c]]
