"""Bringing memory near changes nothing, wherever the place is."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from recommender.models.blend.instructions import prefetch


@njit
def total(array, ahead):  # type: ignore[no-untyped-def]
    found = 0.0
    for place in range(array.size):
        prefetch(array, np.uint64(place + ahead))
        found += array[place]
    return found


@pytest.mark.parametrize("ahead", [0, 5, 100, 2**40])
def test_it_only_wishes(ahead: int) -> None:
    array = np.arange(100.0)
    assert total(array, ahead) == 4950.0
    assert array.tolist() == list(range(100))
    assert any("llvm.prefetch" in text for text in total.inspect_llvm().values())
