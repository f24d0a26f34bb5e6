# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernels by what they are called with.
r"""Learning to rank on a stream: a listwise softmax, fitted by one Newton step for each observed choice.

A user's next item is seen as a choice among all candidates, with :math:`P(i) \propto e^{w \cdot x_i}`
(McFadden: Conditional logit analysis, 1974; ListNet, Cao et al., ICML 2007). Each observation adds its own
curvature to a precision matrix that forgets slowly, and the weights move by the gradient over that
precision: an online Newton step (Hazan, Agarwal and Kale: Logarithmic regret algorithms for online convex
optimization, 2007). It needs few observations, no learning rate, and a prior keeps it sane before there are
any.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import njit
from recommender.models.base import Arrays, FloatArray
from recommender.models.elementary import exp


class ListwiseRanker:
    """Weights of features, learned from choices.

    Each context (a kind of user) has its own weights: common ones plus a difference that is shrunk to zero,
    so a context with few observations borrows from the others.

    Parameters
    ----------
    prior : float array, shape (features,)
        Weights before the first observation.
    precision : float array, shape (features,)
        How firmly each is held: the curvature that the data must bring to move it half way.
    contexts : int
        How many contexts have a difference; a context outside uses the common weights alone.
    firmness : float
        How many times as firmly the differences are held to zero.
    memory : float
        Observations until the weight of an old one has fallen to 1/e.
    """

    def __init__(
        self, prior: FloatArray, precision: FloatArray, contexts: int, firmness: float, memory: float
    ) -> None:
        self.features = len(prior)
        size = self.features * (contexts + 1)
        self._prior = np.zeros(size)
        self._prior[: self.features] = prior
        self._firm = np.concatenate([precision, np.tile(precision * firmness, contexts)])
        self._contexts = contexts
        self._keep = 1.0 - 1.0 / memory
        self._weights = self._prior.copy()
        self._precision = np.diag(self._firm)

    def weights(self, context: int) -> FloatArray:
        """The weights for a context, shape (features,)."""
        common = self._weights[: self.features]
        if not 0 <= context < self._contexts:
            return common.copy()
        begin = self.features * (context + 1)
        total: FloatArray = common + self._weights[begin : begin + self.features]
        return total

    def learn(
        self, features: FloatArray, sample_weights: FloatArray, chosen: int, context: int, worth: float = 1.0
    ) -> None:
        """Take in one choice.

        Parameters
        ----------
        features : float array, shape (candidates, features)
        sample_weights : float array, shape (candidates,)
            How many candidates of its kind each row stands for: 1 where all are there.
        chosen : int
            Row of the candidate that was chosen.
        context : int
            From 0; -1 for none.
        worth : float
            How many observations it counts for.
        """
        known = context if 0 <= context < self._contexts else -1
        _learn(
            features,
            sample_weights,
            chosen,
            worth,
            known,
            self.weights(known),
            self._weights,
            self._precision,
            self._prior,
            self._firm,
            self._keep,
        )

    def state(self) -> Arrays:
        """`weights` of shape (parameters,) and `precision` of shape (parameters, parameters)."""
        return {"weights": self._weights.copy(), "precision": self._precision.copy()}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._weights = state["weights"].astype(np.float64)
        self._precision = state["precision"].astype(np.float64)


@njit(cache=True)
def weighted(features, weights, scores):
    """The scores of all rows, features added in order."""
    for row in range(features.shape[0]):
        score = 0.0
        for f in range(features.shape[1]):
            score += features[row, f] * weights[f]
        scores[row] = score


@njit(cache=True)
def _learn(features, sample_weights, chosen, worth, context, own, weights, precision, prior, firm, keep):
    rows, size = features.shape
    scores = np.empty(rows)
    weighted(features, own, scores)
    highest = scores.max()
    shares, mass = np.zeros(rows), 0.0
    for row in range(rows):
        shares[row] = sample_weights[row] * exp(scores[row] - highest)
        mass += shares[row]
    mean, curvature = np.zeros(size), np.zeros((size, size))
    for row in range(rows):
        if shares[row] == 0.0:
            continue
        share = shares[row] / mass
        for f in range(size):
            part = share * features[row, f]
            mean[f] += part
            for g in range(f + 1):
                curvature[f, g] += part * features[row, g]
    gradient = np.empty(size)
    for f in range(size):
        gradient[f] = worth * (features[chosen, f] - mean[f])
        for g in range(f + 1):
            curvature[f, g] = worth * (curvature[f, g] - mean[f] * mean[g])
            curvature[g, f] = curvature[f, g]
    _step(gradient, curvature, context, weights, precision, prior, firm, keep)


@njit(cache=True)
def _step(gradient, curvature, context, weights, precision, prior, firm, keep):
    size, parameters = gradient.size, weights.size
    direction = np.empty(parameters)
    for p in range(parameters):
        for q in range(parameters):
            precision[p, q] *= keep
        precision[p, p] += (1.0 - keep) * firm[p]
        direction[p] = (1.0 - keep) * firm[p] * (prior[p] - weights[p])
    # The choice speaks of the common weights and of its own context's difference alike.
    blocks = 1 if context < 0 else 2
    for a in range(blocks):
        first = a * size * (context + 1)
        for f in range(size):
            direction[first + f] += gradient[f]
        for b in range(blocks):
            second = b * size * (context + 1)
            for f in range(size):
                for g in range(size):
                    precision[first + f, second + g] += curvature[f, g]
    solve(precision.copy(), direction)
    for p in range(parameters):
        weights[p] += direction[p]


@njit(cache=True)
def solve(matrix, vector):
    """Solve for `vector` in place by Cholesky; the matrix is symmetric, positive definite, and overwritten.

    Our own, so that the order of its sums does not depend on the linear algebra library of the machine.
    """
    size, column = vector.size, np.empty(vector.size)
    for j in range(size):
        matrix[j, j] = math.sqrt(matrix[j, j])
        for i in range(j + 1, size):
            matrix[i, j] /= matrix[j, j]
            column[i] = matrix[i, j]
        # Taken off all that follow at once, in rows: vector instructions, and to each in the same order.
        for i in range(j + 1, size):
            for k in range(j + 1, i + 1):
                matrix[i, k] -= column[i] * column[k]
    for i in range(size):
        for k in range(i):
            vector[i] -= matrix[i, k] * vector[k]
        vector[i] /= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            vector[i] -= matrix[k, i] * vector[k]
        vector[i] /= matrix[i, i]
