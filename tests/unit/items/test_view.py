"""Which items of a catalog pass, as the store and the catalog grow and change in turns."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.catalog import Catalog
from recommender.items.store import ItemStore
from recommender.items.view import ItemView
from recommender.messages.items import ItemInfo
from tests.support.doubles import few

NAMES = [f"i{number}" for number in range(12)]
said = st.none() | st.builds(
    lambda available, categories: ItemInfo(available=available, categories=categories),
    st.booleans(),
    st.sampled_from([(), ("a",), ("a", "b"), ("c",)]),
)
steps = st.lists(
    st.lists(st.tuples(st.sampled_from(NAMES), said) | st.sampled_from(NAMES), max_size=6), max_size=8
)


@few
@given(steps, st.sampled_from([1, 3, 1000]), st.sampled_from([0, 1000]))
def test_it_passes_what_the_store_says_whatever_came_first(
    batches: list[list[tuple[str, ItemInfo | None] | str]], most_changes: int, listed_from: int
) -> None:
    store, catalog = ItemStore(most_changes=most_changes), Catalog()
    view, plain = ItemView(store, catalog, listed_from=listed_from), dict[str, ItemInfo | None]()
    for batch in batches:
        for each in batch:
            if isinstance(each, str):
                catalog.register(each)  # somebody rates it
            else:
                plain[each[0]] = each[1]
                store.put(*each)
        for wanted, unwanted in ((None, []), (["a"], []), (["a", "c"], ["b"]), (None, ["a"])):
            expected = {name for name in catalog.ids() if _passes(plain, name, wanted, unwanted)}
            found = view.filter(wanted, unwanted)
            if found is None:
                assert wanted is None
                assert not unwanted
                assert expected == set(catalog.ids())
                continue
            every = np.arange(len(catalog), dtype=np.int32)
            nothing = np.zeros(0, np.int32)
            assert {catalog.id_of(item) for item in found.all_but(nothing, len(catalog))} == expected
            assert {catalog.id_of(item) for item in found.of(every)} == expected
            assert {name for name in NAMES if found.passes(name)} == {
                name for name in NAMES if _passes(plain, name, wanted, unwanted)
            }
        fresh = {name for name, info in plain.items() if name not in catalog and info and info.available}
        assert set(view.unrated(None, 100, set())) == fresh


def _passes(
    plain: dict[str, ItemInfo | None], name: str, wanted: list[str] | None, unwanted: list[str]
) -> bool:
    info = plain.get(name, ItemInfo()) if name in plain else ItemInfo()
    if name in plain and (info is None or not info.available):
        return False
    categories = set() if info is None else set(info.categories)
    return (wanted is None or bool(categories & set(wanted))) and not categories & set(unwanted)


@pytest.mark.parametrize("first", ["items", "ratings"])
def test_many_at_once_are_found(first: str) -> None:
    store, catalog = ItemStore(), Catalog()
    view = ItemView(store, catalog)

    def describe() -> None:
        for number in range(3000):
            store.put(f"i{number}", ItemInfo(available=number % 3 != 0))

    def rate() -> None:
        catalog.register_all([f"i{number}" for number in range(2999, -1, -1)])

    for work in (describe, rate) if first == "items" else (rate, describe):
        work()
        view.sync()
    found = view.filter(None, [])
    assert found is not None
    passing = found.all_but(np.zeros(0, np.int32), 3000)
    assert [catalog.id_of(item) for item in passing] == [f"i{n}" for n in range(2999, -1, -1) if n % 3]


def test_a_filter_is_made_once_until_something_changes() -> None:
    store, catalog = ItemStore(), Catalog()
    catalog.register_all(NAMES)
    now = time.time()
    for name in NAMES:
        store.put(name, ItemInfo(categories=("a",), until=now + 1000.0 if name == "i3" else math.inf))
    view = ItemView(store, catalog)

    def passing() -> int:
        found = view.filter(["a"], [])
        assert found is not None
        assert view.filter(["a"], []) is found
        assert view.filter(["a"], ["b"]) is not found
        return len(found.all_but(np.zeros(0, np.int32), len(catalog)))

    assert passing() == 12
    store.put("i5", ItemInfo(available=False, categories=("a",)))
    assert passing() == 11
    store.expire(now + 2000.0)
    assert passing() == 10
    catalog.register("new")
    store.put("new", ItemInfo(categories=("a",)))
    assert passing() == 11


def test_filters_that_are_kept_are_bounded() -> None:
    store, catalog = ItemStore(), Catalog()
    store.put("i1", ItemInfo(categories=("a",)))
    view = ItemView(store, catalog)
    for number in range(2000):
        view.filter([f"c{number}"], [])
    assert len(view._filters) < 600  # noqa: SLF001


@few
@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.lists(st.integers(0, 60), max_size=8),
    st.integers(0, 5),
    st.sampled_from([0, 1000]),
)
def test_what_passes_and_the_others_are_all(
    shown: list[bool], without: list[int], more: int, listed_from: int
) -> None:
    """Also of the first of them only, as where the history is behind the catalogue; listed or looked at."""
    store, catalog = ItemStore(), Catalog()
    for number, available in enumerate(shown):
        store.put(f"i{number}", ItemInfo(available=available, categories=("a",)))
        catalog.register(f"i{number}")
    found = ItemView(store, catalog, listed_from=listed_from).filter(["a"], [])
    assert found is not None
    assert len(found.listed) <= len(shown) / 2
    assert found.known == (0 if listed_from else len(shown))
    left_out, count = np.array(without, np.int32), max(0, len(shown) - more)
    passing = [number for number in range(count) if shown[number] and number not in without]
    others = sorted(set(range(count)) - set(passing))
    for chosen, expected in (
        (found.all_but(left_out, count), passing),
        (found.others(left_out, count), others),
    ):
        assert chosen.tolist() == expected
        assert chosen.dtype == np.int32
