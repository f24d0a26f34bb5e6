"""The catalog: dense indices in order of registration, and a state that gives the same catalog back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.catalog import Catalog
from tests.support.doubles import few

identifiers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


def filled(ids: list[str]) -> Catalog:
    catalog = Catalog()
    for each in ids:
        catalog.register(each)
    return catalog


def test_indices_are_given_in_order_and_once() -> None:
    catalog = Catalog()
    assert [catalog.register(each) for each in ("b", "a", "b", "c", "a")] == [0, 1, 0, 2, 1]
    assert catalog.ids() == ["b", "a", "c"]
    assert len(catalog) == 3
    assert (catalog.find("c"), catalog.find("d")) == (2, None)
    assert "a" in catalog
    assert "d" not in catalog


def test_ids_differ_by_their_bytes() -> None:
    ids = ["\u00e9", "e\u0301", "1", "01", " 1", "a\x00", "a", "\U0001f600"]
    assert len(filled(ids)) == len(ids)


@pytest.mark.parametrize("index", [-1, 2, 100])
def test_an_index_that_nobody_has_raises(index: int) -> None:
    with pytest.raises(IndexError):
        filled(["a", "b"]).id_of(index)


def test_the_list_of_ids_is_a_copy() -> None:
    catalog = filled(["a"])
    catalog.ids().append("b")
    assert catalog.ids() == ["a"]


@few
@given(st.lists(identifiers))
def test_it_agrees_with_a_plain_dictionary(ids: list[str]) -> None:
    catalog, naive = Catalog(), dict[str, int]()
    for each in ids:
        assert catalog.register(each) == naive.setdefault(each, len(naive))
    assert catalog.ids() == list(naive)
    assert all(catalog.id_of(index) == each and catalog.find(each) == index for each, index in naive.items())


@few
@given(st.lists(identifiers), st.lists(identifiers))
def test_many_at_once_equal_one_after_the_other(known: list[str], ids: list[str]) -> None:
    single, several = filled(known), filled(known)
    assert several.find_all(ids) == [single.find(each) for each in ids]
    assert several.register_all(ids) == [single.register(each) for each in ids]
    assert several.ids() == single.ids()


@few
@given(st.lists(identifiers), st.lists(identifiers))
def test_a_restored_catalog_goes_on_as_if_nothing_had_happened(before: list[str], after: list[str]) -> None:
    original, restored = filled(before), filled(["something", "else"])
    restored.restore(original.state())
    assert restored.ids() == original.ids()
    for each in after:
        assert restored.register(each) == original.register(each)
    assert {name: array.tolist() for name, array in restored.state().items()} == {
        name: array.tolist() for name, array in original.state().items()
    }


def test_an_empty_catalog_has_a_state() -> None:
    restored = filled(["a"])
    restored.restore(Catalog().state())
    assert len(restored) == 0
    assert restored.register("b") == 0


def test_the_state_is_utf8_and_its_lengths() -> None:
    state = filled(["\u00e9", "a" * 256]).state()
    assert state["bytes"].tobytes() == "\u00e9".encode() + b"a" * 256
    assert state["lengths"].tolist() == [2, 256]
    assert state["bytes"].dtype == np.uint8
