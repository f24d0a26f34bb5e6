"""Events and conditions for whole columns: numbers, and sets that are quick to ask."""

from __future__ import annotations

import math
from typing import Any

from recommender.ingest.sources.mapping import OTHERS, Meaning, SourceMapping

#: What listed events mean, as numbers like ratings: NaN withdraws.
WITHDRAW, SKIP, UNLISTED, CLOSELY = math.nan, -math.inf, math.inf, 1e300


def weights_of(mapping: SourceMapping) -> dict[Any, float]:
    """The meaning of each listed event, as a number."""
    means = {Meaning.SKIP: SKIP, Meaning.WITHDRAW: WITHDRAW, Meaning.RATING: CLOSELY}
    found: dict[Any, float] = {}
    for name, rule in mapping.events.items():
        if name != OTHERS:
            found[name] = means[rule] if isinstance(rule, Meaning) else CLOSELY
            found[name] = rule if isinstance(rule, float) else found[name]
    return found


def allowed(values: frozenset[Any]) -> tuple[frozenset[Any], bool]:
    """The values that pass, and whether their types have to be asked for: 1 equals true."""
    texts = frozenset(value for _, value in values)
    return (texts, False) if all(isinstance(each, str) for each in texts) else (values, True)
