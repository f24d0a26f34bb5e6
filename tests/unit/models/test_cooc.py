"""Co-occurrence counts against a naive loop, over any cuts and restarts."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import ModelContext
from recommender.models.cooccurrence.cooc import Cooc
from recommender.models.options import ModelError

USERS, ITEMS = 6, 7
Event = tuple[int, int, float]


def naive(events: list[Event]) -> dict[int, set[int]]:
    """What each user likes in the end."""
    likes: dict[int, set[int]] = {user: set() for user in range(USERS)}
    for user, item, rating in events:
        likes[user].discard(item)
        if rating > 0:
            likes[user].add(item)
    return likes


def learned(events: list[Event], memory: int, cuts: list[int]) -> Cooc:
    history = History()
    model = Cooc(ModelContext(history), memory=memory)
    bounds = sorted({0, *cuts, len(events)})
    for begin, end in pairwise(bounds):
        users, items, ratings = zip(*events[begin:end], strict=True)
        model.learn(history.append(users, items, ratings, np.sign(ratings), np.zeros(end - begin)))
        again = Cooc(ModelContext(history), memory=memory)
        again.restore(model.state())
        model = again
    return model


@given(
    events=st.lists(
        st.tuples(
            st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.sampled_from([1.0, 1.0, -1.0, math.nan])
        ),
        max_size=80,
    ),
    memory=st.sampled_from([0, 1]),
    data=st.data(),
)
def test_equals_a_naive_count(events: list[Event], memory: int, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(events)), max_size=3))
    model, likes = learned(events, memory, cuts), naive(events)
    whole = learned(events, memory, [])
    assert {name: array.tobytes() for name, array in model.state().items()} == {
        name: array.tobytes() for name, array in whole.state().items()
    }
    candidates = np.array([*range(ITEMS), ITEMS + 3, -1, 2], np.int32)
    for user in range(-1, USERS + 1):
        counts = [
            [sum({i, j} <= mine for mine in likes.values()) for i in likes.get(user, set()) if i != j]
            for j in candidates.tolist()
        ]
        assert model.score(user, candidates).tolist() == [sum(row) for row in counts]
        assert model.neighbours(user, candidates).tolist() == [sum(n > 0 for n in row) for row in counts]


def test_more_items_than_the_memory_has_room_for() -> None:
    count = 800  # 319,600 pairs of 4 bytes are 1.2 MiB
    draw = np.random.default_rng(1)
    users, items = draw.integers(0, 40, 5000), draw.integers(0, count, 5000)
    models = []
    for memory in (1, 2):
        history = History()
        models.append(Cooc(ModelContext(history), memory=memory))
        models[-1].learn(history.append(users, items, np.ones(5000), np.ones(5000), np.zeros(5000)))
    assert [model.keeps_pairs for model in models] == [False, True]
    everything = np.arange(count, dtype=np.int32)
    for user in range(40):
        assert (models[0].score(user, everything) == models[1].score(user, everything)).all()


def test_weak_ratings_are_no_likes() -> None:
    history = History()
    model = Cooc(ModelContext(history, positive_weight=1.0))
    model.learn(history.append([0, 0, 1], [0, 1, 0], [5, 2, 4], [1.2, 0.5, 1.0], [0, 0, 0]))
    assert model.score(1, np.arange(2, dtype=np.int32)).tolist() == [0, 0]
    model.learn(history.append([0], [1], [4], [1.0], [0]))
    assert model.score(1, np.arange(2, dtype=np.int32)).tolist() == [0, 1]
    model.learn(history.append([0], [0], [1], [0.3], [0]))
    assert model.score(1, np.arange(2, dtype=np.int32)).tolist() == [0, 0]


def test_bad_options_and_states_are_refused() -> None:
    with pytest.raises(ModelError, match="memory has value -1"):
        registry.create("cooc/memory=-1", ModelContext(History()))
    with pytest.raises(ModelError, match="lacks entry_orders, user_lengths"):
        Cooc(ModelContext(History())).restore(
            {"counters": np.zeros(3, np.int64), "entry_items": np.zeros(0, np.int32)}
        )
