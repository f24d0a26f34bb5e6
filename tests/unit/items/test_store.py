"""The items topic as arrays, compared with a plain dictionary."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.ratings import BadMessage
from tests.support.doubles import few
from tests.support.item_categories import categories_of

CATEGORIES = ["a", "b", "c", "d"]
records = st.tuples(
    st.sampled_from([f"i{number}" for number in range(8)]),
    st.none()
    | st.builds(
        ItemInfo,
        st.none() | st.text(max_size=5),
        st.booleans(),
        st.sets(st.sampled_from(CATEGORIES)).map(lambda each: tuple(sorted(each))),
        st.just(math.inf) | st.integers(0, 100).map(float),
        st.sampled_from([1.0, 1.5, 0.5]),
    ),
)


@few
@given(st.lists(records), st.sets(st.sampled_from(CATEGORIES)), st.sets(st.sampled_from(CATEGORIES)))
def test_it_says_what_the_last_record_of_each_item_said(
    given_records: list[tuple[str, ItemInfo | None]], wanted: set[str], unwanted: set[str]
) -> None:
    store, plain = ItemStore(), dict[str, ItemInfo | None]()
    for now, (item, info) in enumerate(given_records):
        store.put(item, info, float(now))
        plain[item] = info
    store.expire(50.0)
    assert len(store) == len(plain)
    sets = store.allowed(sorted(wanted) if wanted else None, sorted(unwanted))
    for item, info in plain.items():
        row = store.row_of(item)
        assert row is not None
        told = info or ItemInfo(available=False)
        assert store.hidden[row] == (not told.available or told.until <= max(50.0, 0.0))
        assert store.title_of(item) == told.title
        assert categories_of(store, item) == set(told.categories)
        assert store.boost_of(item) == (None if told.boost == 1.0 else told.boost)
        passes = (not wanted or bool(wanted & set(told.categories))) and not unwanted & set(told.categories)
        assert (sets is None or bool(sets[store.sets[row]])) == passes
    told_infos = [info for info in plain.values() if info is not None]
    assert store.categories == sorted({name for info in told_infos for name in info.categories})
    assert store.hiding == store.hidden[: len(store)].sum()
    assert store.boosted == sum(info.boost != 1.0 for info in told_infos)


def test_sets_that_no_item_has_any_more_take_no_room() -> None:
    store = ItemStore()
    for number in range(10_000):
        store.put("the only one", ItemInfo(categories=(f"c{number}",), until=1e9 + number), 0.0)
    assert store.categories == ["c9999"]
    sets = store.allowed(["c9999"], [])
    assert sets is not None
    assert len(sets) <= 3
    assert len(store._ending) < 2000  # noqa: SLF001


def test_what_comes_beyond_the_bounds_is_refused() -> None:
    store = ItemStore(max_items=2, max_categories=2)
    store.put("one", ItemInfo(categories=("a", "b")))
    store.put("two", None)
    with pytest.raises(BadMessage, match="2 categories"):
        store.put("one", ItemInfo(categories=("a", "c")))
    with pytest.raises(BadMessage, match="2 items"):
        store.put("three", ItemInfo())
    assert categories_of(store, "one") == {"a", "b"}
    assert len(store) == 2


def test_boosts_come_late_go_and_come_again_as_items_grow() -> None:
    store, boosts = ItemStore(), dict[str, float]()

    def put(first: int, last: int) -> None:
        for number in range(first, last):
            boosts[f"i{number}"] = boost = 2.0 if number % 997 == 996 else 1.0
            store.put(f"i{number}", ItemInfo(boost=boost))
        found = {item: store.boost_of(item) or 1.0 for item in boosts}
        assert found == boosts
        assert store.boosted == sum(each != 1.0 for each in boosts.values())

    put(0, 900)
    assert not store.boosted
    put(900, 3000)
    for item in boosts:
        boosts[item] = 1.0
        store.put(item, ItemInfo())
    assert not store.boosted
    put(3000, 3900)
    put(3900, 9000)
