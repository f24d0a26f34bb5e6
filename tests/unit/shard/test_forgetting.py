"""Who is forgotten was never there: for answers, states, and whoever comes next."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.arrays import digest
from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.ratings import Forget, Merge, Rating
from recommender.messages.requests import Request
from recommender.models import registry
from recommender.models.knn_baseline.model import KNNBaselineModel
from recommender.shard.arms import Arms
from recommender.shard.bounds import Bounds
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from tests.support.doubles import few, fewer
from tests.unit.shard.forgetting_log import Event, answer, learned, options, rows_of, stream

#: Models whose knowledge is what the ratings that stand say, in their order.
EXACT = ["popular", "cooc", "cosine", "user-knn/k=100", "knn-baseline/retrain=0"]
#: The same of models that know how many of a user's events lie between two: those of items stay counted.
SEQUENCES = ["sequence-knn", "item-knn"]
MODELS = ["blend", "mf", "bpr", "popular-recent", "cosine"]


def standing(events: Iterable[Event]) -> list[Rating]:
    """The ratings that count in the end, of those alone who were not forgotten afterwards."""
    kept: list[Rating] = []
    for event in events:
        if isinstance(event, Rating):
            kept.append(event)
        elif isinstance(event, Merge):
            stands: dict[tuple[str, str], float] = {}
            for user, item, rating, _ in kept:
                stands.pop((user, item), None)
                if rating is not None:
                    stands[user, item] = rating
            others = {item: rating for (user, item), rating in stands.items() if user == event.guest}
            kept = [each for each in kept if each.user != event.guest]
            kept += [
                Rating(event.user, item, rating)
                for item, rating in others.items()
                if (event.user, item) not in stands
            ]
        elif event.user is None:
            kept = [each for each in kept if each.item != event.item]
        else:
            kept = [each for each in kept if each.user != event.user]
    return kept


@pytest.mark.parametrize("model", [*EXACT, *SEQUENCES])
@fewer
@given(st.integers(0, 10**6))
def test_exact_models_answer_as_if_the_forgotten_had_never_been_there(model: str, seed: int) -> None:
    events = stream(seed, 120)
    if model in SEQUENCES:
        events = [event for event in events if isinstance(event, Rating) or event == Forget(event.user, None)]
    shard, naive = learned(model, events), learned(model, standing(events))
    for each in (shard.model, naive.model):
        if isinstance(each, KNNBaselineModel):  # exact once it is trained
            each.train()
    for user in (*(f"u{number}" for number in range(8)), "nobody"):
        # Who rated nothing any more and who never did are both strangers.
        mine, theirs = dict(answer(shard, user=user)), dict(answer(naive, user=user))
        assert {item: mine[item] for item in theirs} == pytest.approx(theirs, rel=1e-9, abs=1e-9)
        # What nobody has any more is still an item; what was forgotten is none.
        for item in set(mine) - set(naive.items.ids()):
            index = shard.items.find(item)
            assert index is not None
            assert shard.history.item_counts[index] == 0
    assert set(shard.items.ids()) >= set(naive.items.ids())
    known = {each for each in shard.users.ids() if each}
    assert known >= set(naive.users.ids())
    for user in known - set(naive.users.ids()):
        at = shard.users.find(user)
        assert at is not None
        assert not shard.history.has(at)


@pytest.mark.parametrize(
    ("model", "bounds"),
    [*((model, Bounds()) for model in [*MODELS, "flurs:mf/k=4"]), ("blend", Bounds(users=4, ratings=3))],
)
@fewer
@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 150), st.integers(0, 2)), max_size=6))
def test_batches_saves_and_restarts_change_nothing(
    model: str, bounds: Bounds, seed: int, cuts: list[tuple[int, int]]
) -> None:
    events, chosen = stream(seed, 150), options(model, bounds=bounds)
    whole = Shard(chosen)
    whole.learn_rows(rows_of(events))
    shard, start = Shard(chosen), 0
    for stop, how in [*sorted(cuts), (len(events), 1)]:
        snapshot = Snapshot(shard)
        snapshot.advance()
        shard.learn_rows(rows_of(events[start:stop], start))
        start = stop
        if how:
            snapshot.finish()
            state = shard.state() if how == 1 else snapshot.state()
            restored = Shard(chosen)
            restored.restore({name: np.array(array) for name, array in state.items()})
            assert restored.digest() == shard.digest()
            shard = restored
    assert shard.digest() == whole.digest()
    for user in ("u0", "u1", "nobody"):
        assert shard.recommend(Request(user)) == whole.recommend(Request(user))


@pytest.mark.parametrize("model", MODELS)
def test_a_forgotten_user_is_a_stranger_and_then_a_new_one(model: str) -> None:
    shard = learned(model, stream(1, 200, forgets=0.0))
    assert not shard.recommend(Request("u3")).cold_start
    shard.learn_rows(rows_of([Forget("u3", None)], 200))
    assert shard.users.find("u3") is None
    found, stranger = shard.recommend(Request("u3")), shard.recommend(Request("nobody"))
    assert found.cold_start
    assert found._replace(user="") == stranger._replace(user="")
    shard.learn_rows(rows_of([Rating("u3", "i1", 5.0)], 201))
    index = shard.users.find("u3")
    assert index == 3 or index in range(8)
    assert index is not None
    assert shard.history.items_of(index).tolist() == [shard.items.find("i1")]


@pytest.mark.parametrize("model", [*MODELS, "sequence-knn", "knn-baseline"])
def test_a_forgotten_item_is_recommended_to_nobody(model: str) -> None:
    shard = learned(model, [*stream(2, 200, forgets=0.0), Forget(None, "i2")])
    asked: list[dict[str, Any]] = [
        {"user": "u1"},
        {"user": "u1", "include_rated": True},
        {"user": "nobody"},
        {"user": "u1", "explore": 0.5},
        {"user": None, "similar_to": "i1"},
        {"user": None, "popular": True},
        {"user": "u1", "categories": ["films"]},
    ]
    store = ItemStore()
    for fields in asked:
        items = [each.item for each in shard.recommend(Request(n=1000, **fields), store=store).items]
        assert "i2" not in items
        assert "" not in items
    shard.learn_rows(rows_of([Rating("u1", "brand new", 5.0)], 300))
    assert shard.items.find("brand new") == 2 or shard.items.free.size == 0
    assert "brand new" in dict(answer(shard, user="nobody"))


def test_who_was_never_there_is_forgotten_without_a_trace() -> None:
    shard = learned("blend", stream(3, 80, forgets=0.0))
    before = shard.digest()
    shard.learn_rows(rows_of([Forget("nobody", None), Forget(None, "nothing"), Forget("nobody", None)]))
    assert shard.digest() == before
    assert shard.forgetting.take_counts() == {("user", "unknown"): 2, ("item", "unknown"): 1}
    assert shard.forgetting.take_counts() == {}


def test_no_byte_of_the_forgotten_is_left_in_a_state() -> None:
    secret = "someone-very-secret"
    shard = learned("blend", [*stream(4, 80, 0.0), Rating(secret, "i1", 5.0), Rating("u1", secret, 4.0)])
    assert sum(secret.encode() in array.tobytes() for array in shard.state().values()) == 2
    shard.learn_rows(rows_of([Forget(secret, None), Forget(None, secret)]))
    assert not any(secret.encode() in array.tobytes() for array in shard.state().values())
    for catalog in (shard.users, shard.items):
        assert secret.encode() not in catalog.table.arrays.text.tobytes()


def test_a_log_without_forgetting_has_the_state_that_it_had() -> None:
    """Forgetting is in the state only where somebody was forgotten."""
    shard = learned("mf", stream(5, 50, forgets=0.0))
    names = set(shard.state())
    assert not {name for name in names if name.endswith(("free", "gone"))}
    shard.learn_rows(rows_of([Forget("u1", None)]))
    assert set(shard.state()) - names == {"users/free", "model/users_gone"}


def test_everybody_leaves_and_others_come() -> None:
    shard = Shard(options("blend"))
    for turn in range(6):
        given = [Rating(f"{turn}-{user}", f"{turn}-{item}", 5.0) for user in range(20) for item in range(5)]
        gone = [Forget(f"{turn}-{user}", None) for user in range(20)]
        gone += [Forget(None, f"{turn}-{item}") for item in range(5)]
        shard.learn_rows(rows_of([*given, *gone], 200 * turn))
        assert (len(shard.users), len(shard.items)) == (0, 0)
        assert (shard.users.size, shard.items.size) == (20, 5)
        assert answer(shard, user="x") == []
        if turn == 1:
            size = shard.history.nbytes
    assert shard.history.nbytes == size
    assert not any(array.size > 2000 for array in shard.state().values() if array.dtype != np.float64)


def test_models_of_all_arms_forget() -> None:
    names = [name for name, _ in registry.describe() if not name.startswith("flurs")]
    arms = Arms.parse(",".join(f"{name}:1" for name in names))
    shard = Shard(options(names[0], experiment=arms))
    shard.learn_rows(rows_of([*stream(6, 100, 0.0), Forget("u1", None)]))
    for name in names:
        found = shard.recommend(Request("u1", arm=name))
        assert found.cold_start
    assert digest(shard.state()) == shard.digest()


@few
@given(st.integers(0, 10**6))
def test_the_items_topic_says_nothing_of_an_item_in_place_of_a_forgotten_one(seed: int) -> None:
    chance, shard, store = random.Random(seed), Shard(options("popular")), ItemStore()
    rated: set[str] = set()
    said: dict[str, tuple[bool, bool]] = {}
    for step in range(40):
        item, turn = f"i{chance.randrange(8)}", chance.random()
        if turn < 0.4:
            shard.learn_rows(rows_of([Rating("u", item, 5.0)], step))
            rated.add(item)
        elif turn < 0.7:
            shard.learn_rows(rows_of([Forget(None, item)], step))
            rated.discard(item)
        else:
            said[item] = chance.random() < 0.5, chance.random() < 0.5
            store.put(item, ItemInfo(item, said[item][0], ("even",) if said[item][1] else ()))
        if chance.random() < 0.5:
            found = {each.item for each in shard.recommend(Request("x", n=50), store=store).items}
            assert found == {each for each in rated if said.get(each, (True,))[0]}
            request = Request("x", n=50, categories=["even"])
            found = {each.item for each in shard.recommend(request, store=store).items}
            assert found == {each for each, (available, even) in said.items() if available and even}
