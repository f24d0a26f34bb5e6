"""Exploration: items other than the best, place by place.

``epsilon:E``
    Each place is, with probability E, a uniformly random candidate that is not in the list yet, else the
    next best. Findka showed one third (*Serving Findka's recommendations*, 2020).
``softmax:T``
    Each place is drawn from the candidates that are left with probability proportional to
    exp(score / T), by Gumbel noise (Kool et al., 2019); the temperature T is in units of the scores.
``thompson``
    Each candidate's chance to please is drawn from Beta(1 + its positive, 1 + its negative ratings), and the
    highest draws are shown (Thompson, 1933). The model's scores play no part.
``none``
    The best.

All are pure functions of their arguments: a request that is answered again is answered the same.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.errors import RecommenderError

EXPLOIT, EXPLORE = "exploit", "explore"
#: Findka's share of random places.
EPSILON = 1 / 3
_TRIES = 20


class ExplorationError(RecommenderError):
    """A way of exploring does not exist, or its parameter is out of range."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """A way of exploring.

    Attributes
    ----------
    kind : str
        ``epsilon``, ``softmax``, ``thompson`` or ``none``.
    parameter : float
        The probability of ``epsilon``, the temperature of ``softmax``; 0 for the others.
    """

    kind: str = "none"
    parameter: float = 0.0

    def __post_init__(self) -> None:
        value = self.parameter
        if self.kind == "epsilon":
            if not 0.0 <= value <= 1.0:
                raise ExplorationError(f"epsilon has value {value:g}: must be between 0 and 1")
        elif self.kind == "softmax":
            if not (value > 0.0 and math.isfinite(value)):
                raise ExplorationError(f"the temperature of softmax has value {value:g}: must be above 0")
        elif self.kind not in ("thompson", "none"):
            raise ExplorationError(
                f"exploration {self.kind!r} does not exist: expected epsilon:E, softmax:T, thompson or none"
            )
        elif value:
            raise ExplorationError(f"exploration {self.kind} takes no parameter, got {value:g}")

    @classmethod
    def parse(cls, text: str) -> Exploration:
        """Read ``epsilon:0.2``, ``epsilon`` (1/3), ``softmax:0.5``, ``thompson`` or ``none``.

        Raises
        ------
        ExplorationError
            The text is none of these, or its parameter is out of range.
        """
        kind, colon, parameter = text.strip().partition(":")
        if not colon:
            return cls(kind, {"epsilon": EPSILON, "softmax": 1.0}.get(kind, 0.0))
        try:
            return cls(kind, float(parameter))
        except ValueError:
            raise ExplorationError(
                f"exploration {text!r} has parameter {parameter!r}: not a number"
            ) from None

    def for_request(self, explore: float | None) -> Exploration:
        """The exploration of one request: None keeps this one, 0 turns it off, another number is an epsilon.

        Raises
        ------
        ExplorationError
            `explore` lies outside [0, 1].
        """
        if explore is None:
            return self
        if not 0.0 <= explore <= 1.0:
            raise ExplorationError(f"explore must be between 0 and 1, got {explore:g}")
        return Exploration("epsilon", explore) if explore else Exploration()

    def __str__(self) -> str:
        return f"{self.kind}:{self.parameter:g}" if self.kind in ("epsilon", "softmax") else self.kind


class Place(NamedTuple):
    """One place of a list: a candidate, by its number among the candidates, and where it comes from.

    `source` is ``exploit`` where the candidate is the best that was left, as far as the draw is not
    uniform, else ``explore``.
    """

    candidate: int
    source: str


def request_seed(user: str, correlation_id: bytes, seed: int = 0) -> int:
    """The seed of a request's draws, from its user and the id by which the answer is known.

    Returns
    -------
    int
        At least 0, below 2**64.
    """
    key = seed.to_bytes(16, "big", signed=True)
    name = user.encode()
    message = len(name).to_bytes(4, "big") + name + correlation_id
    return int.from_bytes(hashlib.blake2b(message, digest_size=8, key=key).digest(), "big")


def mix(
    ranked: NDArray[np.integer],
    scores: NDArray[np.float64],
    n: int,
    exploration: Exploration,
    seed: int,
    *,
    positives: NDArray[np.integer] | NDArray[np.floating] | None = None,
    negatives: NDArray[np.integer] | NDArray[np.floating] | None = None,
    explorable: NDArray[np.integer] | None = None,
) -> list[Place]:
    """A list of at most `n` candidates; no candidate comes twice.

    Parameters
    ----------
    ranked : int array, shape (at least min(n, candidates),)
        The best candidates, best first, as numbers from 0 in `scores`.
    scores : float array, shape (candidates,)
        Of all that may be shown.
    n : int
    exploration : Exploration
    seed : int
        From `request_seed`.
    positives, negatives : arrays, shape (candidates,)
        How many ratings of each kind a candidate has; ``thompson`` needs them.
    explorable : int array, optional
        The candidates among which ``epsilon`` draws, as numbers in `scores`; by default all. Where none is
        left the place goes to the next best.

    Returns
    -------
    list of Place
        min(n, candidates) of them.

    Raises
    ------
    ValueError
        n is negative, `ranked` is too short, or ``thompson`` lacks its counts.
    """
    # What reads settings knows this module, and needs nothing compiled.
    from recommender.models import randomness

    count = len(scores)
    size = min(n, count)
    if n < 0 or len(ranked) < size:
        raise ValueError(f"n={n} of {count} candidates need as many ranked ones, got {len(ranked)}")
    if exploration.kind == "none" or not size:
        return [Place(int(candidate), EXPLOIT) for candidate in ranked[:size]]
    draws = np.random.Generator(np.random.PCG64(seed))
    if exploration.kind == "epsilon":
        pool = np.arange(count) if explorable is None else explorable
        return _epsilon(ranked, pool, size, exploration.parameter, draws)
    if exploration.kind == "softmax":
        # The highest of score / T + Gumbel noise are a sample without replacement of exp(score / T).
        values = scores / exploration.parameter
        randomness.maxima(draws.random(count), values)
    elif positives is None or negatives is None:
        raise ValueError("thompson needs how many positive and negative ratings each candidate has")
    else:
        values = np.empty(count)
        shapes = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
        randomness.betas(np.uint64(seed), *shapes, values)
    return _labelled(np.argsort(-values, kind="stable")[:size], ranked)


def _epsilon(
    ranked: NDArray[np.integer],
    pool: NDArray[np.integer],
    size: int,
    epsilon: float,
    draws: np.random.Generator,
) -> list[Place]:
    places: list[Place] = []
    taken: set[int] = set()
    best = iter(ranked.tolist())
    for _ in range(size):
        drawn = _random_of_the_rest(pool, taken, draws) if draws.random() < epsilon else None
        if drawn is None:
            place = Place(next(candidate for candidate in best if candidate not in taken), EXPLOIT)
        else:
            place = Place(drawn, EXPLORE)
        taken.add(place.candidate)
        places.append(place)
    return places


def _random_of_the_rest(pool: NDArray[np.integer], taken: set[int], draws: np.random.Generator) -> int | None:
    """A uniformly random one of the pool that is not taken; None if all are."""
    for _ in range(_TRIES if len(pool) else 0):
        candidate = int(pool[draws.integers(len(pool))])
        if candidate not in taken:
            return candidate
    # Few are left: the same distribution, without further trying.
    rest = np.setdiff1d(pool, np.fromiter(taken, np.int64, len(taken)))
    return int(rest[draws.integers(len(rest))]) if len(rest) else None


def _labelled(chosen: NDArray[np.intp], ranked: NDArray[np.integer]) -> list[Place]:
    """Each chosen candidate with whether it was the best that was left."""
    places: list[Place] = []
    taken: set[int] = set()
    order, next_best = ranked.tolist(), 0
    for candidate in chosen.tolist():
        while next_best < len(order) and order[next_best] in taken:
            next_best += 1
        is_best = next_best < len(order) and order[next_best] == candidate
        places.append(Place(candidate, EXPLOIT if is_best else EXPLORE))
        taken.add(candidate)
    return places
