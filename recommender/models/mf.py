# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
r"""FluRS' incremental matrix factorization, as a compiled loop over growing arrays.

The method is that of Vinagre, Jorge and Gama: Fast Incremental Matrix Factorization for Recommendation
with Positive-Only Feedback (UMAP 2014), in the form of `flurs.recommender.MFRecommender`. Each positive event
of user :math:`u` and item :math:`i` is one step of stochastic gradient descent towards 1:

.. math:: e = 1 - p_u \cdot q_i, \quad p_u' = p_u + 2 \eta (e\, q_i - \lambda p_u), \quad
          q_i' = q_i + 2 \eta (e\, p_u - \lambda q_i)

From the same initial vectors, the same events give FluRS' factors to 1e-9. Unlike FluRS it needs no
registration in order, resets no one, knows unseen users and empty catalogues, and leaves the caller's value
alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from recommender.history import Events
from recommender.models.base import NEVER, Arrays, FloatArray, IntArray, ModelContext
from recommender.models.options import between, one_of
from recommender.models.randomness import fill_normal

_USERS, _ITEMS = 0, 1
#: Rows are padded with zeros to a multiple of this, so that dot products use vector instructions.
_LANES = 8


class MF:
    """Users' and items' factors, learned from positive events alone.

    A rating that is replaced or withdrawn cannot be unlearned: what it taught fades as others teach.

    Parameters
    ----------
    k : int
        Number of factors.
    learn_rate, l2_reg : float
        The step and the shrinkage above, FluRS' defaults.
    rank : str
        `distance` ranks by how near a prediction is to 1, as FluRS does: the score is -|1 - prediction|.
        `prediction` ranks by the prediction itself, so that overshooting is no fault.
    """

    reads_history_to_learn = False

    def __init__(
        self,
        context: ModelContext,
        *,
        k: int = 40,
        learn_rate: float = 0.003,
        l2_reg: float = 0.01,
        rank: str = "distance",
    ) -> None:
        between("mf", "k", k, 1, 1024)
        between("mf", "learn_rate", learn_rate, 0.0, 1.0)
        between("mf", "l2_reg", l2_reg, 0.0, 1.0)
        one_of("mf", "rank", rank, ("distance", "prediction"))
        self._k, self._rate, self._shrinkage = k, learn_rate, l2_reg
        self._by_distance = rank == "distance"
        self._seed = context.seed
        self._positive = np.float32(context.positive_weight)
        self._factors = [np.zeros((0, -(-k // _LANES) * _LANES)) for _ in (_USERS, _ITEMS)]
        self._counts = [0, 0]

    def learn(self, events: Events) -> None:
        """One step of descent for each positive event."""
        if len(events) == 0:
            return
        self._register(_USERS, int(events.users.max()) + 1)
        self._register(_ITEMS, int(events.items.max()) + 1)
        _descend(
            *self._factors,
            events.users,
            events.items,
            events.ratings,
            events.weights,
            self._positive,
            self._rate,
            self._shrinkage,
        )

    def _register(self, side: int, count: int) -> None:
        """Give everyone up to `count` an initial vector, which depends on the seed and the index alone."""
        self._counts[side] = max(self._counts[side], count)
        rows = self._factors[side]
        if count > len(rows):
            grown = np.zeros((max(count, 2 * len(rows), 64), rows.shape[1]))
            grown[: len(rows)] = rows
            fill_normal(grown, self._seed, side, len(rows), self._k, 0.1)
            self._factors[side] = grown

    @property
    def user_factors(self) -> FloatArray:
        """Shape (users, k)."""
        return self._factors[_USERS][: self._counts[_USERS], : self._k]

    @property
    def item_factors(self) -> FloatArray:
        """Shape (items, k)."""
        return self._factors[_ITEMS][: self._counts[_ITEMS], : self._k]

    def predict(self, user: int, candidates: IntArray) -> FloatArray:
        """Dot products; 0 where the user or the item is unknown."""
        predictions = np.zeros(len(candidates))
        if 0 <= user < self._counts[_USERS]:
            _dot(
                self._factors[_USERS],
                user,
                self._factors[_ITEMS],
                self._counts[_ITEMS],
                candidates,
                predictions,
            )
        return predictions

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """How promising the candidates are, as `rank` says."""
        predictions = self.predict(user, candidates)
        if self._by_distance:
            np.subtract(1.0, predictions, out=predictions)
            np.abs(predictions, out=predictions)
            np.negative(predictions, out=predictions)
        # Too large a learn_rate makes factors grow without bound.
        return np.nan_to_num(predictions, copy=False, nan=-1.0)

    def neighbours(self, user: int, candidates: IntArray) -> IntArray | None:
        """None: factors have no neighbours."""
        return None

    def next_observation(self, event: int) -> int:
        """Never."""
        return NEVER

    def observe(self, user: int, item: int, weight: float) -> None:
        """Nothing to see."""

    def state(self) -> Arrays:
        """`users` (users, k) and `items` (items, k)."""
        return {"users": self.user_factors.copy(), "items": self.item_factors.copy()}

    def restore(self, state: Arrays) -> None:
        """Take the factors over."""
        for side, name in ((_USERS, "users"), (_ITEMS, "items")):
            saved = state[name].astype(np.float64)
            self._factors[side] = np.zeros((len(saved), self._factors[side].shape[1]))
            self._factors[side][:, : self._k] = saved
            self._counts[side] = len(saved)


# Making no arrays spares the reference counts at each use of one. Unsigned places need no test for a negative
# index, and then the loops use vector instructions.
_kernel = njit(cache=True, _nrt=False)


@_kernel
def _product(left, row, right, column):
    """The dot product of two padded rows, in `_LANES` partial sums of a fixed order."""
    a, b = np.uint64(row), np.uint64(column)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for block in range(np.uint64(left.shape[1]) // np.uint64(_LANES)):
        f = block * np.uint64(_LANES)
        s0 += left[a, f] * right[b, f]
        s1 += left[a, f + np.uint64(1)] * right[b, f + np.uint64(1)]
        s2 += left[a, f + np.uint64(2)] * right[b, f + np.uint64(2)]
        s3 += left[a, f + np.uint64(3)] * right[b, f + np.uint64(3)]
        s4 += left[a, f + np.uint64(4)] * right[b, f + np.uint64(4)]
        s5 += left[a, f + np.uint64(5)] * right[b, f + np.uint64(5)]
        s6 += left[a, f + np.uint64(6)] * right[b, f + np.uint64(6)]
        s7 += left[a, f + np.uint64(7)] * right[b, f + np.uint64(7)]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@_kernel
def _descend(user_factors, item_factors, users, items, ratings, weights, positive, rate, shrinkage):
    for e in range(users.size):
        if np.isnan(ratings[e]) or weights[e] < positive:
            continue
        user, item = np.uint64(users[e]), np.uint64(items[e])
        error = 1.0 - _product(user_factors, user, item_factors, item)
        for f in range(np.uint64(user_factors.shape[1])):
            p, q = user_factors[user, f], item_factors[item, f]
            user_factors[user, f] = p + rate * 2.0 * (error * q - shrinkage * p)
            item_factors[item, f] = q + rate * 2.0 * (error * p - shrinkage * q)


@_kernel
def _dot(user_factors, user, item_factors, count, candidates, predictions):
    for c in range(candidates.size):
        item = np.int64(candidates[c])
        if item >= 0 and item < count:
            predictions[c] = _product(user_factors, user, item_factors, item)


def warm() -> None:
    """Compile or load the kernels."""
    from recommender.history import History

    history = History(1)
    model = MF(ModelContext(history))
    model.learn(history.append([0], [0], [1.0], [1.0], [0.0]))
    model.score(0, np.zeros(1, np.int32))
