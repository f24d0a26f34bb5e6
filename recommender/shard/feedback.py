"""Feedback policies: the ratings that teach, and how strongly.

Three policies, each a pure function of one rating:

``graded:T``
    Every rating is evidence, weighted by its value; those of at least T are the targets that a
    recommendation should hit.
``positive:T``
    Ratings of at least T teach with weight 1. One below T is dropped, and takes back an earlier rating
    of the same user and item, since it replaces it. T = 3 is what the article that stands behind this
    project uses.
``signed``
    +1 and -1 teach; 0 and ``"skip"`` are counted, and an earlier rating of the item stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.errors import RecommenderError

FloatArray = NDArray[np.float32]

#: Weights of the ratings 1 to 5 on a scale that ends at 5; in between by linear interpolation.
#: Measured on MovieLens 100K: a dislike is still evidence of what a user looks at.
GRADES = (0.3, 0.5, 0.8, 1.0, 1.2)


_GRADES = np.array(GRADES)
_STEPS = np.diff(_GRADES)


class FeedbackError(RecommenderError):
    """The feedback policy is not one that exists."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback policy.

    Attributes
    ----------
    kind : str
        ``graded``, ``positive`` or ``signed``.
    threshold : float
        Ratings of at least this are positive.
    low, high : float
        The scale: ratings outside it are not accepted.
    """

    kind: str
    threshold: float
    low: float
    high: float

    @classmethod
    def parse(cls, text: str, low: float = float("nan"), high: float = float("nan")) -> Feedback:
        """Read ``graded:4``, ``positive:3`` or ``signed``; `low` and `high` are the scale if given.

        Raises
        ------
        FeedbackError
            The text is not a policy, or its threshold lies outside the scale.
        """
        kind, _, threshold_text = text.partition(":")
        if kind not in ("graded", "positive", "signed") or (kind == "signed" and threshold_text):
            raise FeedbackError(
                f"feedback policy {text!r} does not exist: expected graded:T, positive:T or signed"
            )
        default_low, default_high = (-1.0, 1.0) if kind == "signed" else (0.5, 5.0)
        low = default_low if low != low else low
        high = default_high if high != high else high
        if kind == "signed":
            threshold = 1.0
        else:
            try:
                threshold = float(threshold_text or {"graded": "4", "positive": "3"}[kind])
            except ValueError:
                raise FeedbackError(
                    f"feedback policy {text!r} has threshold {threshold_text!r}: not a number"
                ) from None
        if not low < high:
            raise FeedbackError(f"the scale of ratings is {low:g} to {high:g}: the first must be smaller")
        if kind == "graded" and high <= 0:
            raise FeedbackError(
                f"{text!r} weighs ratings on a scale that ends above 0, got {low:g} to {high:g}"
            )
        if not low <= threshold <= high:
            raise FeedbackError(
                f"feedback policy {text!r} has threshold {threshold:g}: "
                f"outside the scale of ratings, {low:g} to {high:g}"
            )
        return cls(kind, threshold, low, high)

    def __str__(self) -> str:
        return "signed" if self.kind == "signed" else f"{self.kind}:{self.threshold:g}"

    @property
    def skips(self) -> bool:
        """True if a rating may be ``"skip"``."""
        return self.kind == "signed"

    @property
    def positive_weight(self) -> float:
        """The weight from which on an event is positive."""
        return float(self.weights(np.array([self.threshold], dtype=np.float32))[0])

    def weights(self, ratings: FloatArray) -> FloatArray:
        """The weight of each rating, shape as `ratings`; 0 for a withdrawal (NaN)."""
        if self.kind == "graded":
            return _between_grades(ratings * (5.0 / self.high))
        if self.kind == "positive":
            weights = np.ones(len(ratings))
        else:
            weights = np.sign(ratings)
        return np.where(np.isnan(ratings), 0.0, weights).astype(np.float32)

    def teach(
        self, ratings: Sequence[float | None] | NDArray[np.float64]
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """The ratings as the models see them.

        Parameters
        ----------
        ratings : sequence of float or None, or float64 array
            None or NaN withdraws.

        Returns
        -------
        values : float32 array, shape (ratings,)
            The ratings as they teach; NaN for what takes an earlier rating back.
        used : bool array, shape (ratings,)
            False for what is ignored.
        """
        values = np.array(ratings, dtype=np.float32)  # None becomes NaN
        if self.kind == "positive":
            values[values < np.float32(self.threshold)] = np.nan
        used = values != 0 if self.kind == "signed" else np.ones(len(values), dtype=np.bool_)
        return values, used


def _between_grades(stars: FloatArray) -> FloatArray:
    """`GRADES` for 1 to 5, linearly in between, and 0 for NaN."""
    graded = np.empty(len(stars), np.float32)
    _grade(stars, graded)
    return graded


@kernel
def _grade(stars, graded):  # type: ignore[no-untyped-def]
    for k in range(stars.size):
        if np.isnan(stars[k]):
            graded[k] = 0.0
            continue
        inside = min(max(np.float64(stars[k]), 1.0), 5.0)
        below = np.uint64(min(np.int64(inside), np.int64(_STEPS.size)) - 1)
        graded[k] = np.float32(_STEPS[below] * (inside - np.float64(below + np.uint64(1))) + _GRADES[below])


def warm() -> None:
    """Compile or load the kernel."""
    _between_grades(np.ones(1, np.float32))
