"""Item cosine against a naive loop, over re-rated and withdrawn likes and restarts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import ModelContext
from recommender.models.cooccurrence.cosine import Cosine
from recommender.models.options import ModelError

USERS, ITEMS = 6, 7


@given(
    events=st.lists(
        st.tuples(
            st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), st.sampled_from([1.0, 1.0, -1.0, math.nan])
        ),
        max_size=80,
    ),
    memory=st.sampled_from([0, 1]),
)
def test_equals_the_naive_sum(events: list[tuple[int, int, float]], memory: int) -> None:
    history = History()
    model = Cosine(ModelContext(history), memory=memory)
    fans: list[set[int]] = [set() for _ in range(ITEMS)]
    for user, item, rating in events:
        model.learn(history.append([user], [item], [rating], [np.sign(rating)], [0.0]))
        (fans[item].add if rating > 0 else fans[item].discard)(user)
    again = Cosine(ModelContext(history), memory=memory)
    again.restore(model.state())
    candidates = np.array([*range(ITEMS), ITEMS + 3, -1, 2], np.int32)
    for user in range(-1, USERS + 1):
        liked = [item for item in range(ITEMS) if user in fans[item]]
        expected = [
            sum(
                len(fans[i] & fans[j]) / math.sqrt(len(fans[i]) * len(fans[j]))
                for i in liked
                if i != j and fans[j]
            )
            if 0 <= j < ITEMS
            else 0.0
            for j in candidates.tolist()
        ]
        assert model.score(user, candidates) == pytest.approx(expected)
        assert again.score(user, candidates).tolist() == model.score(user, candidates).tolist()


def test_its_errors_bear_its_name() -> None:
    with pytest.raises(ModelError, match="cosine: memory has value -1"):
        registry.create("cosine/memory=-1", ModelContext(History()))
