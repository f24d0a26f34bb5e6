"""What was shown to whom, compared with a plain list of all that was shown."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from recommender.items import shown as shown_module
from recommender.items.shown import ShownList, ShownStore
from tests.support.doubles import few

lists = st.builds(
    ShownList,
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 30).map(str),
    st.integers(0, 9).map(float),
    st.lists(st.sampled_from("uvwxyz"), max_size=4, unique=True),
)


class Plain:
    """The same as a list: the newest places, each with its list's user, request and moment."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.places: list[tuple[str, str, float, str]] = []

    def put(self, each: ShownList) -> None:
        if not any(place[:2] == (each.user, each.request) for place in self.places):
            for item in each.items:
                self.places = [*self.places, (each.user, each.request, each.moment, item)][-self._most :]

    def shown(self, user: str, times: int, since: float, but: str) -> set[str]:
        found = Counter(
            item
            for whose, request, moment, item in self.places
            if whose == user and moment >= since and request != but
        )
        return {item for item, count in found.items() if count >= times}


@few
@given(st.lists(st.lists(lists, max_size=6), max_size=8), st.integers(1, 12))
def test_it_says_what_the_newest_places_say(batches: list[list[ShownList]], most: int) -> None:
    store, plain = ShownStore(most), Plain(most)
    for batch in batches:
        store.put(batch)
        for each in batch:
            plain.put(each)
        assert len(store) == len(plain.places)
        # Nothing is kept of whom and what there is no place of.
        assert store.users == len({place[0] for place in plain.places})
        assert store.items == len({place[3] for place in plain.places})
        for user in ("a", "b", "c", "nobody"):
            for times, since, but in ((1, 0.0, ""), (2, 0.0, ""), (1, 5.0, ""), (1, 0.0, "3")):
                assert set(store.shown(user, times, since, but)) == plain.shown(user, times, since, but)


def test_it_grows_up_to_its_bound_and_takes_no_more_memory_for_ever_new_users() -> None:
    store = ShownStore(5000)
    for number in range(0, 20_000, 100):
        store.put(
            [ShownList(f"u{each}", "r", 0.0, [f"i{each}", "all"]) for each in range(number, number + 100)]
        )
    assert len(store) == 5000
    assert store.users == 2500
    users, items = store.rows
    assert (users <= 2600, items <= 2700) == (True, True)
    assert store.shown("u1", 1, 0.0) == []
    assert set(store.shown("u19999", 1, 0.0)) == {"i19999", "all"}


def test_of_one_user_the_newest_thousand_places_count() -> None:
    store = ShownStore()
    most = shown_module.MAX_OF_USER
    store.put([ShownList("u", f"r{number}", 0.0, [f"i{number}"]) for number in range(most + 5)])
    assert set(store.shown("u", 1, 0.0)) == {f"i{number}" for number in range(5, most + 5)}
