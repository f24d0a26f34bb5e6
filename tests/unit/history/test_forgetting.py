"""Who leaves a history or a catalog leaves nothing behind, and room for others: plain dictionaries say so."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.history.arrays import Arrays
from recommender.history.catalog import REMEMBERED, Catalog
from recommender.history.catalog_snapshot import CatalogSnapshot
from recommender.history.history import History
from tests.support.doubles import few
from tests.unit.history.test_id_table import register

USERS, ITEMS = 6, 30


class Naive:
    """A history as a dictionary of each user's items, newest last."""

    def __init__(self) -> None:
        self.rated: dict[int, dict[int, float]] = {}

    def rate(self, user: int, item: int, rating: float) -> None:
        mine = self.rated.setdefault(user, {})
        mine.pop(item, None)
        if not math.isnan(rating):
            mine[item] = rating

    def raters(self, item: int) -> list[int]:
        return sorted(user for user, mine in self.rated.items() if item in mine)


def withdraw(history: History, users: list[int], items: list[int]) -> None:
    count = len(users)
    history.append(users, items, [math.nan] * count, [0.0] * count, [0.0] * count)


def check_withdraw_all(history: History, users: list[int]) -> None:
    """Withdraw all ratings of users, as a copy of the history does one by one."""
    other = History(history.raters_per_item)
    other.restore(history.state())
    rated = [other.items_of(user) for user in users]
    owners = np.repeat(users, [len(each) for each in rated])
    nothing = np.zeros(len(owners))
    one_by_one = other.append(owners, np.concatenate(rated), nothing * np.nan, nothing, nothing)
    events = history.withdraw_all(np.array(users, np.int32))
    for name in ("users", "items", "ratings", "weights", "times", "numbers", "previous_ratings",
                 "previous_weights", "previous_positions"):  # fmt: skip
        np.testing.assert_array_equal(getattr(events, name), getattr(one_by_one, name))
        assert getattr(events, name).dtype == getattr(one_by_one, name).dtype
    left, right = history.state(), other.state()
    assert {name: array.tobytes() for name, array in left.items()} == {
        name: array.tobytes() for name, array in right.items()
    }


@pytest.mark.parametrize("raters", [2, 256])
@few
@given(st.integers(0, 10**6))
def test_a_history_that_forgets_agrees_with_dictionaries(raters: int, seed: int) -> None:
    chance = random.Random(seed)
    history, naive = History(raters), Naive()
    for step in range(60):
        turn = chance.random()
        if turn < 0.1:
            user = chance.randrange(USERS)
            mine = history.items_of(user).tolist()
            assert mine == list(naive.rated.get(user, {}))
            if chance.random() < 0.5:
                withdraw(history, [user] * len(mine), mine)
            else:
                check_withdraw_all(history, [user, 1000])
            history.forget_user(user)
            naive.rated.pop(user, None)
        elif turn < 0.2:
            item = chance.randrange(ITEMS)
            users = history.raters_of(item).tolist()
            assert users == naive.raters(item)
            withdraw(history, users, [item] * len(users))
            history.forget_item(item)
            for mine_ in naive.rated.values():
                mine_.pop(item, None)
        else:
            count = chance.randrange(12)
            users = [chance.randrange(USERS) for _ in range(count)]
            items = [int(chance.paretovariate(0.7)) % ITEMS for _ in range(count)]
            ratings = [chance.choice([1.0, 2.0, math.nan]) for _ in range(count)]
            history.append(users, items, ratings, [1.0] * count, [float(step // 3)] * count)
            for each in zip(users, items, ratings, strict=True):
                naive.rate(*each)
        if chance.random() < 0.2:
            restored = History(raters)
            restored.restore(history.state())
            history = restored
    assert history.rating_count == sum(map(len, naive.rated.values()))
    for user in range(USERS):
        rated, given_, _ = history.rated(user)
        assert dict(zip(rated.tolist(), given_.tolist(), strict=True)) == naive.rated.get(user, {})
    for item in range(ITEMS):
        assert set(history.raters(item).tolist()) <= set(naive.raters(item))
        assert history.raters_of(item).tolist() == naive.raters(item)
    marks = np.array([item % 3 == 0 for item in range(ITEMS - 2)], np.uint8)
    found: list[tuple[int, int]] = []
    user = 0
    while user < history.user_count:
        before = user
        user, owners, marked = history.entries_of_marked(marks, user, 2, 5)
        assert before < user <= before + 2
        found += zip(owners.tolist(), marked.tolist(), strict=True)
    assert found == [
        (user, item)
        for user in range(USERS)
        for item in naive.rated.get(user, {})
        if item < len(marks) and marks[item]
    ]


def test_who_comes_after_a_forgotten_one_is_new() -> None:
    fresh, used = History(4), History(4)
    used.append([0] * 3, [0, 1, 0], [1.0] * 3, [1.0] * 3, [5.0, 5.0, 6.0])
    withdraw(used, [0, 0], [0, 1])
    used.forget_user(0)
    used.forget_item(0)
    used.forget_item(1)
    for history in (fresh, used):
        history.append([0], [0], [2.0], [1.0], [7.0])
        history.append([0], [1], [2.0], [1.0], [7.0])
    left, right = fresh.state(), used.state()
    for name in left:
        if name not in ("counters", "item_first_events", "item_last_events"):
            assert left[name].tolist() == right[name].tolist(), name


def test_whose_ratings_stand_cannot_be_cleared() -> None:
    history = History(4)
    history.append([0], [0], [1.0], [1.0], [0.0])
    with pytest.raises(ValueError, match="user 0 has ratings that stand"):
        history.forget_user(0)
    with pytest.raises(ValueError, match="item 0 has ratings that stand"):
        history.forget_item(0)
    history.forget_user(7)
    history.forget_item(7)


def test_room_is_used_again() -> None:
    history = History(16)
    for turn in range(50):
        for user in range(20):
            items = np.arange(3000 if user == 0 else 40)
            count = len(items)
            history.append([user] * count, items, [1.0] * count, [1.0] * count, [float(turn)] * count)
            withdraw(history, [user] * count, items.tolist())
            history.forget_user(user)
        for item in range(3000):
            history.forget_item(item)
        if turn == 1:
            size = history.nbytes
    assert history.nbytes == size


names = st.sampled_from([f"id {number}" for number in range(12)] + ["a" * 8, "a" * 9, "\u00e9"])
steps = st.one_of(
    st.tuples(st.just("text"), names),
    st.tuples(st.just("bytes"), names),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("hold"), names),
    st.tuples(st.just("release"), names),
    st.tuples(st.just("restore"), names),
)


@few
@example(
    [(how, f"id {n}") for how, n in (("text", 0), ("hold", 0), ("text", 0), ("release", 0), ("text", 1))]
)
@given(st.lists(steps, max_size=60))
def test_a_catalog_gives_indices_again(taken: list[tuple[str, str]]) -> None:
    catalog, naive, free, size = Catalog(), dict[str, int](), list[int](), 0
    held: list[int] = []
    views = list[tuple[CatalogSnapshot, Arrays]]()
    for how, name in taken:
        views.append((CatalogSnapshot(catalog, 3), catalog.state()))
        views[-1][0].advance()
        views[-1][0].finish()
        if how == "remove":
            if name in naive:
                free.append(naive.pop(name))
                assert catalog.remove(name) == free[-1]
            else:
                with pytest.raises(KeyError):
                    catalog.remove(name)
        elif how == "hold":
            if name in naive:
                held.append(naive.pop(name))
                catalog.remove_all([held[-1]], held=True)
        elif how == "release":
            catalog.release(held)
            free, held = free + held, []
        elif how == "restore":
            other = Catalog()
            other.restore(catalog.state())
            catalog = other
        else:
            if name not in naive:
                naive[name] = free.pop() if free else size
                size = max(size, naive[name] + 1)
            if how == "text":
                assert catalog.register(name) == naive[name]
            else:
                assert register(catalog, Catalog(), [(name, "x", False, True)]) == [(naive[name], 0)]
        assert (len(catalog), catalog.size) == (len(naive), size)
        assert catalog.free.tolist()[: len(free)] == free
        assert sorted(catalog.free.tolist()[len(free) :]) == sorted(held)
        assert {name: catalog.find(name) for name in naive} == naive
        for index, each in enumerate(catalog.ids()):
            assert each == next((name for name, at in naive.items() if at == index), "")
    for view, state in views:
        assert {name: array.tolist() for name, array in view.state().items()} == {
            name: array.tolist() for name, array in state.items()
        }


def test_a_free_index_has_no_id() -> None:
    catalog = Catalog()
    catalog.register_all(["a", "b"])
    catalog.remove("a")
    with pytest.raises(IndexError, match="index 0 is free"):
        catalog.id_of(0)
    assert (catalog.id_at(0), catalog.id_of(1), "a" in catalog) == ("", "b", False)


def test_text_of_those_who_left_is_gained_back() -> None:
    catalog = Catalog()
    for number in range(20_000):
        catalog.register(f"some user with a long name {number}")
        if number >= 10:
            catalog.remove(f"some user with a long name {number - 10}")
    arrays = catalog.table.arrays
    assert (len(catalog), catalog.size) == (10, 11)
    assert len(arrays.text) < 50_000
    assert len(arrays.slots) < 1000


def test_what_became_free_is_told() -> None:
    catalog = Catalog()
    for each in "abcd":
        catalog.register(each)
    before = catalog.freed
    catalog.remove("b")
    catalog.remove("d")
    assert catalog.freed_since(before) == [1, 3]
    assert catalog.freed_since(catalog.freed) == []
    for number in range(REMEMBERED):
        catalog.register(f"{number}")
        catalog.remove(f"{number}")
    assert catalog.freed_since(before) is None
    last = catalog.freed
    catalog.restore(catalog.state())
    assert catalog.freed_since(last) is None
