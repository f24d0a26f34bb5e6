"""Ids found by their bytes: a plain dictionary of texts says the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.history import id_table
from recommender.history.catalog import Catalog, register_bytes
from recommender.history.id_table import ITEM, USER
from recommender.history.texts import joined
from tests.support.doubles import few

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
#: Some that share their beginnings, their ends or all of a block of eight bytes.
names = ids | st.sampled_from(
    ["a", "aa", "a" * 8, "a" * 9, "a" * 16, "b" + "a" * 8, "a\0", "\0a", "\0", "\0\0"]
)


def in_text(pairs: list[tuple[str, str]]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pairs' ids one after the other, and where each begins and ends."""
    text, ends = joined([part.encode() for pair in pairs for part in pair])
    bounds = [0, *ends.tolist()]
    rows = [[bounds[at], bounds[at + 1], bounds[at + 1], bounds[at + 2]] for at in range(0, len(ends), 2)]
    return text, np.array(rows, np.int64).reshape(-1, 4)


def register(
    users: Catalog, items: Catalog, rows: list[tuple[str, str, bool, bool]]
) -> list[tuple[int, int]]:
    """Indices of the rows that are used; a row is user, item, whether it withdraws, whether it counts."""
    text, spans = in_text([row[:2] for row in rows])
    values = np.array([np.nan if row[2] else 1.0 for row in rows], np.float32)
    used = np.array([row[3] for row in rows], np.bool_)
    indices = register_bytes(users, items, text, spans, values, used)
    return [(int(u), int(i)) for u, i, taken in zip(*indices, used, strict=True) if taken]


@few
@given(
    st.lists(st.lists(st.tuples(names, names, st.booleans(), st.booleans()), max_size=20), max_size=4),
    st.lists(names, max_size=5),
)
def test_registering_by_bytes_equals_registering_by_text(
    runs: list[list[tuple[str, str, bool, bool]]], before: list[str]
) -> None:
    users, items = Catalog(), Catalog()
    naive_users, naive_items = Catalog(), Catalog()
    for run in runs:
        for each in before:  # some come as texts in between
            assert users.register(each) == naive_users.register(each)
        expected = []
        for user, item, withdraws, counts in run:
            if counts and (not withdraws or (user in naive_users and item in naive_items)):
                expected.append((naive_users.register(user), naive_items.register(item)))
        assert register(users, items, run) == expected
    assert (users.ids(), items.ids()) == (naive_users.ids(), naive_items.ids())
    assert users.find_all(users.ids()) == list(range(len(users)))


@few
@given(st.lists(names, max_size=30), st.lists(names, max_size=30))
def test_finding_by_bytes_registers_nobody(known: list[str], asked: list[str]) -> None:
    catalog = Catalog()
    catalog.register_all(known)
    text, spans = in_text([("x", each) for each in asked])
    found = [None if index < 0 else index for index in catalog.find_bytes(text, spans, ITEM).tolist()]
    assert found == catalog.find_all(asked)
    assert (catalog.find_bytes(text, spans, USER) >= 0).all() == ("x" in catalog or not asked)
    assert len(catalog) == len(set(known))


def test_it_grows() -> None:
    users, items = Catalog(), Catalog()
    rows = [(f"u{number}", f"item {number % 700}", False, True) for number in range(20_000)]
    found = [
        pair for start in range(0, 20_000, 999) for pair in register(users, items, rows[start : start + 999])
    ]
    assert found == [(number, number % 700) for number in range(20_000)]


def test_a_restored_catalog_goes_on() -> None:
    users, items = Catalog(), Catalog()
    register(users, items, [("a", "x", False, True), ("\u00e9", "y", False, True)])
    other = Catalog()
    other.restore(users.state())
    assert register(other, items, [("\u00e9", "x", False, True), ("c", "z", False, True)]) == [(1, 0), (2, 2)]
    assert other.ids() == ["a", "\u00e9", "c"]


def test_another_seed_gives_the_same_indices() -> None:
    rows = [(f"{number % 97}", f"{number % 31}", False, True) for number in range(300)]
    expected = register(Catalog(), Catalog(), rows)
    kept, id_table._SEED = id_table._SEED, np.uint64(1)  # noqa: SLF001
    try:
        assert register(Catalog(), Catalog(), rows) == expected
    finally:
        id_table._SEED = kept  # noqa: SLF001


def test_slots_are_moved_a_few_at_a_time() -> None:
    users, items = Catalog(), Catalog()
    rows = [(f"u{number}", "x", False, True) for number in range(3000)]
    for part in (rows[:1000], rows[1000:2000]):
        register(users, items, part)
    sizes, moved = [], []
    for start in range(2000, 3000):
        register(users, items, rows[start : start + 1])
        arrays = users.table.arrays
        sizes.append(len(arrays.slots))
        moved.append(len(arrays.old) - int(arrays.moved[0]) if len(arrays.old) else 0)
        if moved[-1]:
            # Whoever is removed meanwhile is gone, and everybody else is found, in old slots or in new ones.
            users.remove(f"u{start - 900}")
            asked = range(0, start + 1, 97)
            text, spans = in_text([(f"u{each}", "x") for each in asked])
            expected = users.find_all(f"u{each}" for each in asked)
            found = users.find_bytes(text, spans, USER).tolist()
            assert found == [-1 if each is None else each for each in expected]
    assert len(set(sizes)) == 2
    assert max(moved) > 100
    assert moved[-1] == 0
