"""Judges columns of ids, of times and of events: those that are plain become what the journal takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.ingest.sources.iso_times import seconds_of_texts
from recommender.ingest.sources.mapping import OTHERS, Meaning, SourceMapping
from recommender.ingest.sources.values import LIMITS, NANOSECONDS, UNITS, seconds_of
from recommender.messages.ratings import MAX_TIMESTAMP, SURE_CHARACTERS

#: What listed events mean, as numbers like ratings: NaN withdraws.
WITHDRAW, SKIP, UNLISTED, CLOSELY = math.nan, -math.inf, math.inf, 1e300
Floats = NDArray[np.float64]


class Judged(NamedTuple):
    """A column, and the places in it that are not plain."""

    column: Any
    bad: list[int]


def ids_of(column: Sequence[Any]) -> Judged:
    """Ids as text; those that are not plain are empty or long."""
    if set(map(type, column)) <= {str}:
        texts = list(column)
    else:
        texts = [value if value.__class__ is str else _written(value) for value in column]
    lengths = list(map(len, texts))
    if not lengths or (min(lengths) > 0 and max(lengths) <= SURE_CHARACTERS):
        return Judged(texts, [])
    return Judged(texts, [at for at, size in enumerate(lengths) if not 0 < size <= SURE_CHARACTERS])


def times_of(column: Sequence[Any], unit: str, *, required: bool) -> Judged:
    """Times in seconds; where there is none NaN, which is plain unless one is required."""
    kinds = set(map(type, column))
    try:
        if kinds <= {int, float} and unit != "iso":
            seconds = in_seconds(np.array(column, np.float64), unit)
        elif kinds == {str} and unit in ("auto", "iso"):
            seconds = seconds_of_texts(column)
        elif kinds <= {str, type(None)} and unit in ("auto", "iso"):
            seconds = np.full(len(column), math.nan)
            seconds[[value is not None for value in column]] = seconds_of_texts(
                [value for value in column if value is not None]
            )
        else:
            seconds = np.array([_second(value, unit) for value in column], np.float64)
    except (OverflowError, ValueError):
        return Judged(np.zeros(len(column)), list(range(len(column))))
    bad = ~((seconds >= 0) & (seconds <= MAX_TIMESTAMP))
    if type(None) in kinds:
        absent = np.fromiter((value is None for value in column), np.bool_, len(column))
        bad = np.where(absent, required, bad)
    return Judged(seconds, np.flatnonzero(bad).tolist())


def on_scale(
    given: Floats, scale: tuple[float, float] | None, limits: tuple[float, float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Ratings of a scale on the worker's, and which of them are within their own, by default the worker's."""
    (low, high), (least, most) = limits, scale or limits
    within = (given >= least) & (given <= most)
    if scale is None:
        return given.copy(), within
    return np.clip(low + (given - least) * ((high - low) / (most - least)), low, high), within


def _second(value: Any, unit: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, datetime):
        return seconds_of(value)
    return (
        -1.0
        if unit == "iso" or isinstance(value, str)
        else float(in_seconds(np.array([value], np.float64), unit)[0])
    )


def in_seconds(values: Floats, unit: str) -> Floats:
    """Numbers in a unit as seconds; without one, each judged by its size."""
    if unit in UNITS:
        return values / UNITS[unit]
    sizes = np.abs(values)
    if not len(values) or sizes.max() < LIMITS[0][0]:
        return values
    conditions = [sizes < limit for limit, _ in LIMITS]
    return values / np.select(conditions, [each for _, each in LIMITS], NANOSECONDS)


def decoded(key: bytes | None) -> str:
    """A key as text; nothing of one that is not UTF-8."""
    try:
        return "" if key is None else key.decode()
    except UnicodeDecodeError:
        return ""


def _written(value: Any) -> str:
    """An integer as text; nothing of what is neither."""
    try:
        return str(value) if value.__class__ is int else ""
    except ValueError:  # it has thousands of digits
        return ""


def weights_of(mapping: SourceMapping) -> dict[Any, float]:
    """The meaning of each listed event, as a number."""
    means = {Meaning.SKIP: SKIP, Meaning.WITHDRAW: WITHDRAW}
    found: dict[Any, float] = {}
    for name, rule in mapping.events.items():
        if name != OTHERS:
            found[name] = means.get(rule, CLOSELY) if isinstance(rule, Meaning) else CLOSELY
            found[name] = rule if isinstance(rule, float) else found[name]
    return found


def allowed(values: frozenset[Any]) -> tuple[frozenset[Any], bool]:
    """The values that pass, and whether their types have to be asked for: 1 equals true."""
    texts = frozenset(value for _, value in values)
    return (texts, False) if all(isinstance(each, str) for each in texts) else (values, True)
