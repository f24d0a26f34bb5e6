"""The k nearest neighbours without sorting, against sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.models.knn_baseline.nearest import adjustments
from tests.support.doubles import few

#: Neighbouring floats, equal ones, none and negative ones.
values = st.sampled_from(
    [
        0.0,
        -0.5,
        1.0,
        np.nextafter(1.0, 0.0),
        np.nextafter(1.0, 2.0),
        1 + 1e-9,
        0.5,
        0.25,
        1e-300,
        5e-324,
        0.1,
        0.2,
        0.3,
    ]
)


def found(sims: NDArray[np.float64], residuals: NDArray[np.float64], k: int, min_k: int) -> tuple[float, int]:
    mean, count = np.empty(1), np.empty(1, np.int32)
    adjustments(sims[np.newaxis].copy(), 1, residuals, len(sims), k, min_k, mean, count)
    return float(mean[0]), int(count[0])


def sorted_first(
    sims: NDArray[np.float64], residuals: NDArray[np.float64], k: int, min_k: int
) -> tuple[float, int]:
    """By a stable sort, added up in the order of the row."""
    chosen = sorted(sorted(range(len(sims)), key=lambda s: -sims[s])[:k])
    chosen = [s for s in chosen if sims[s] > 0]
    if not chosen or len(chosen) < min_k:
        return 0.0, len(chosen)
    total = weight = 0.0
    for s in chosen:
        total += float(sims[s] * residuals[s])
        weight += float(sims[s])
    return total / weight, len(chosen)


@few
@given(st.lists(values | st.floats(0, 1), max_size=60), st.integers(1, 12), st.integers(1, 4))
def test_equals_sorting(sims: list[float], k: int, min_k: int) -> None:
    similarities, residuals = np.array(sims, np.float64), np.linspace(-2.0, 2.0, len(sims))
    mean, count = found(similarities, residuals, k, min_k)
    expected = sorted_first(similarities, residuals, k, min_k)
    assert count == expected[1]
    assert mean == pytest.approx(expected[0], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("equal", [1.0, 0.5, 1e-9, 5e-324])
def test_of_equal_ones_the_earlier_come_first(equal: float) -> None:
    sims = np.full(50, equal)
    residuals = np.arange(50.0)
    for k, expected in ((10, 4.5), (49, 24.0), (50, 24.5)):
        mean, count = found(sims, residuals, k, 1)
        assert (round(mean, 9), count) == (expected, k)
    assert found(sims, residuals, 60, 51) == (0.0, 50)


def test_many_random_rows_equal_sorting() -> None:
    draw = np.random.default_rng(4)
    for _ in range(300):
        count = int(draw.integers(1, 200))
        sims = draw.choice([draw.random(count), draw.integers(-1, 4, count) / 4.0])
        residuals = draw.normal(size=count)
        mean, neighbours = found(sims, residuals, 40, 1)
        expected = sorted_first(sims, residuals, 40, 1)
        assert neighbours == expected[1]
        assert mean == pytest.approx(expected[0], rel=1e-9, abs=1e-12)
