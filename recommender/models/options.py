"""Errors about options that a model cannot use."""

from __future__ import annotations

import math

from recommender.errors import RecommenderError


class ModelError(RecommenderError):
    """A model's name, an option or its value is not understood."""


def between(name: str, option: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse an option's value outside [low, high] with a `ModelError`."""
    if not low <= value <= high:
        limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        raise ModelError(f"model {name}: {option} has value {value}: must be {limits}")


def one_of(name: str, option: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse an option's value that is not one of `known` with a `ModelError`."""
    if value not in known:
        raise ModelError(f"model {name}: {option} has value {value!r}: expected one of {', '.join(known)}")
