"""The k nearest of many candidates side by side, beside one that sorts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.models.knn_baseline.nearest_levels import LANES, adjustments, columns_for, level
from recommender.models.knn_baseline.similarities import SIMILARITIES


def naive(sims: NDArray[np.float64], residuals: NDArray[np.float64], k: int, min_k: int) -> tuple[float, int]:
    """One candidate's mean over its nearest, by a stable sort."""
    nearest = [n for n in np.argsort(-sims, kind="stable").tolist() if sims[n] > 0][:k]
    if len(nearest) < max(1, min_k):
        return 0.0, len(nearest)
    return float(sims[nearest] @ residuals[nearest] / sims[nearest].sum()), len(nearest)


def check(sims: NDArray[np.float64], kind: int, k: int, min_k: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = draw.permutation(len(sims)).astype(np.int32)
    residuals = draw.normal(size=len(rows))
    levels = np.array([[level(each, kind) for each in row] for row in sims], np.uint8)
    changes, neighbours = np.empty(sims.shape[1]), np.empty(sims.shape[1], np.int32)
    adjustments(sims, levels, rows, residuals, k, min_k, changes, neighbours)
    expected = [naive(column[rows], residuals, k, min_k) for column in sims.T]
    assert neighbours.tolist() == [count for _, count in expected]
    assert changes == pytest.approx([change for change, _ in expected], abs=1e-12)


@settings(max_examples=60)
@given(
    st.integers(0, 10_000),
    st.integers(1, 60),
    st.integers(1, 5).map(lambda lanes: lanes * LANES),
    st.integers(1, 45),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(["few values", "any", "crowded", "below zero"]),
)
def test_the_nearest_are_those_of_a_sort(
    seed: int, count: int, columns: int, k: int, min_k: int, kind: int, values: str
) -> None:
    draw = np.random.default_rng(seed)
    shape = count, columns
    kinds: dict[str, NDArray[Any]] = {
        "few values": draw.integers(-1, 4, shape) / 3.0,
        "any": draw.uniform(-0.5, 1.0, shape),
        # Most lie on one level, and differ.
        "crowded": 0.5 + draw.integers(0, 30, shape) * 1e-6,
        "below zero": draw.uniform(-1.0, 0.0, shape),
    }
    check(kinds[values], kind, k, min(min_k, k), seed)


def test_more_rows_than_a_byte_counts() -> None:
    draw = np.random.default_rng(1)
    for count, k in ((252, 251), (253, 40), (255, 254), (256, 255), (257, 256), (1100, 700)):
        check(draw.integers(0, 3, (count, LANES)) / 2.0, 0, k, 1, count)
        check(draw.uniform(0.999, 1.0, (count, LANES)), 0, k, 1, count)


@pytest.mark.parametrize("kind", range(len(SIMILARITIES)))
def test_levels_never_fall_where_similarities_rise(kind: int) -> None:
    draw = np.random.default_rng(2)
    some = np.sort(
        np.concatenate([draw.random(5000), 1.0 - 1e-9 * draw.random(100), [5e-324, 1.0, 1.0 + 1e-15]])
    )
    some = np.sort(np.concatenate([some, np.nextafter(some, 2.0)]))
    levels = [int(level(each, kind)) for each in some.tolist()]
    assert levels == sorted(levels)
    assert levels[0] == 1
    assert levels[-1] == 255
    assert [level(each, kind) for each in (0.0, -0.0, -1.0, float("nan"))] == [0, 0, 0, 0]


def test_columns_are_whole_lanes() -> None:
    assert [columns_for(items) for items in (0, 1, LANES, LANES + 1)] == [0, LANES, LANES, 2 * LANES]
