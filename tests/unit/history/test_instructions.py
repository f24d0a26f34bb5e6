"""Bringing memory near changes nothing, wherever the place is; eight bytes are eight bytes."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from recommender.history.instructions import eight_bytes, prefetch


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


@njit
def eight_of(text, place):  # type: ignore[no-untyped-def]
    return eight_bytes(text, np.uint64(place))


@pytest.mark.parametrize("place", [0, 1, 7, 8])
def test_eight_bytes_are_a_number_whose_lowest_is_the_first(place: int) -> None:
    text = np.arange(200, 216).astype(np.uint8)
    assert eight_of(text, place) == int.from_bytes(text[place : place + 8].tobytes(), "little")
