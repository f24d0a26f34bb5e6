"""Our exponentials, logarithms, powers and cosines beside the library's, and what they give of odd ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from recommender.models import elementary
from recommender.models.elementary import (
    cosine_of_turns,
    exponentials,
    half_powers,
    logarithm,
    powered,
    powers,
)
from tests.support.doubles import few

many = st.lists(st.floats(-800, 800), min_size=1, max_size=50)


@njit
def exp(x: float) -> float:
    return elementary.exp(x)


def expected_exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def assert_near(found: float, expected: float, units: float) -> None:
    """At most so many units in the last place apart."""
    assert found == expected or abs(found - expected) <= units * np.spacing(abs(expected))


@few
@given(many)
def test_exponentials(numbers: list[float]) -> None:
    for number in numbers:
        assert_near(exp(number), expected_exp(number), 1)
    assert exponentials(np.array(numbers)).tolist() == [exp(number) for number in numbers]


@few
@given(st.floats(0, allow_infinity=False, exclude_min=True))
def test_logarithms(number: float) -> None:
    assert_near(logarithm(number), math.log(number), 1)


@few
@given(st.floats(1e-6, 1e9), st.floats(-3, 3))
def test_powers(base: float, exponent: float) -> None:
    assert_near(powered(base, exponent), base**exponent, 64)
    assert powers(np.array([base, base]), exponent).tolist() == [powered(base, exponent)] * 2


@few
@given(st.floats(1e-3, 1e3), st.integers(-20, 20))
def test_powers_of_halves_are_products_and_roots(base: float, twice: int) -> None:
    assert_near(powered(base, twice / 2), base ** (twice / 2), 16)
    assert powered(base, 1.0) == base
    assert powered(base, 0.0) == 1.0
    assert powered(base, 0.5) == math.sqrt(base)
    assert powered(base, 2.0) == base * base


@pytest.mark.parametrize("count", range(1, 6))
def test_tables_of_half_powers(count: int) -> None:
    assert half_powers(0.8, count) == pytest.approx([0.8 ** (k / 2) for k in range(count)], rel=1e-15)


@few
@given(st.floats(0, 1))
def test_cosines(turns: float) -> None:
    assert cosine_of_turns(turns) == pytest.approx(math.cos(2 * math.pi * turns), abs=1e-15)


def test_cosines_of_quarters_are_exact() -> None:
    assert [cosine_of_turns(quarter / 4) for quarter in range(5)] == [1.0, 0.0, -1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("function", "number", "expected"),
    [
        (exp, 0.0, 1.0),
        (exp, math.inf, math.inf),
        (exp, -math.inf, 0.0),
        (exp, 710.0, math.inf),
        (exp, -746.0, 0.0),
        (exp, -745.0, 5e-324),
        (exp, math.nan, math.nan),
        (logarithm, 1.0, 0.0),
        (logarithm, 0.0, -math.inf),
        (logarithm, math.inf, math.inf),
        (logarithm, -1.0, math.nan),
        (logarithm, math.nan, math.nan),
    ],
)
def test_odd_numbers(function: Callable[[float], float], number: float, expected: float) -> None:
    assert function(number) == pytest.approx(expected, nan_ok=True, abs=0, rel=0)
