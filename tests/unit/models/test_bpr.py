"""BPR equals FluRS where FluRS is right; the user neighbours equal a naive version; item neighbours a sum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from flurs.data.entity import Item, User
from flurs.recommender import BPRMFRecommender

from recommender.history.history import History
from recommender.models.base import ModelContext
from recommender.models.factors.bpr import BPR
from recommender.models.sequence.item_knn import ItemKNN
from recommender.models.testing import random_log
from recommender.models.user_knn import UserKNN
from tests.unit.history.test_history import columns

K = 6


def flurs_and_ours(
    l2: float, users: int = 5, items: int = 9, history: History | None = None
) -> tuple[Any, BPR]:
    """Both with the same initial vectors."""
    theirs = BPRMFRecommender(k=K, l2_reg=l2, learn_rate=0.1)
    theirs.initialize()
    history = history or History()
    ours = BPR(ModelContext(history), k=K, l2_reg=l2, learn_rate=0.1)
    ours.learn(history.append([users - 1], [items - 1], [1.0], [0.0], [0.0]))  # registers, teaches nothing
    for user in range(users):
        theirs.register(User(user))
        theirs.users[user]["vec"] = ours.user_factors[user].copy()
    for item in range(items):
        theirs.register(Item(item))
    theirs.Q = ours.item_factors.copy()
    return theirs, ours


def teach(theirs: Any, user: int, item: int, negative: int) -> None:
    """One step of FluRS' with a given draw: everything else is known."""
    known = theirs.users[user]["known_items"]
    theirs.users[user]["known_items"] = set(range(theirs.n_item)) - {negative}
    theirs.update_model(user, item)
    theirs.users[user]["known_items"] = known


def test_factors_equal_flurs_without_shrinkage() -> None:
    theirs, ours = flurs_and_ours(0.0)
    rng = np.random.default_rng(1)
    for _ in range(300):
        user, (item, negative) = int(rng.integers(5)), rng.permutation(9)[:2].tolist()
        teach(theirs, user, item, negative)
        ours.step(user, item, np.array([negative], np.int32))
    vectors = np.array([theirs.users[user]["vec"] for user in range(5)])
    assert np.abs(vectors - ours.user_factors).max() < 1e-9
    assert np.abs(theirs.Q - ours.item_factors).max() < 1e-9
    everything = np.arange(9, dtype=np.int32)
    assert ours.score(2, everything) == pytest.approx(theirs.score(User(2), everything), abs=1e-9)


def test_shrinkage_has_the_opposite_sign_of_flurs() -> None:
    theirs, ours = flurs_and_ours(0.01)
    _, plain = flurs_and_ours(0.0)
    teach(theirs, 1, 2, 3)
    ours.step(1, 2, np.array([3], np.int32))
    plain.step(1, 2, np.array([3], np.int32))
    for theirs_now, ours_now, unshrunk in (
        (theirs.users[1]["vec"], ours.user_factors[1], plain.user_factors[1]),
        (theirs.Q[3], ours.item_factors[3], plain.item_factors[3]),
    ):
        assert np.abs(theirs_now - unshrunk).max() > 1e-6
        assert theirs_now - unshrunk == pytest.approx(unshrunk - ours_now, abs=1e-12)


def test_flurs_raises_for_a_user_who_has_everything_and_ours_does_not() -> None:
    history = History()
    theirs, ours = flurs_and_ours(0.0, items=1, history=history)
    theirs.users[0]["known_items"] = {0}
    with pytest.raises(ValueError, match="empty"):
        theirs.update_model(0, 0)
    before = ours.item_factors.copy()
    ours.learn(history.append([0], [0], [1.0], [1.0], [1.0]))
    assert (ours.item_factors == before).all()


def test_negatives_are_what_the_user_has_not_and_all_of_it() -> None:
    history = History()
    model = BPR(ModelContext(history), negatives=4)
    for item in range(10):
        model.learn(history.append([0 if item < 5 else 1], [item], [1.0], [1.0], [float(item)]))
    drawn = np.concatenate([model.draw_negatives(event, 0) for event in range(200)])
    assert set(drawn.tolist()) == {5, 6, 7, 8, 9}
    assert np.bincount(drawn)[5:].min() > 100
    assert (model.draw_negatives(3, 0) == model.draw_negatives(3, 0)).all()


def test_bpr_learns_two_tastes() -> None:
    history = History()
    model = BPR(ModelContext(history))
    rng = np.random.default_rng(2)
    for time in range(4000):
        user = int(rng.integers(40))
        item = int(rng.integers(20)) * 2 + user % 2
        model.learn(history.append([user], [item], [1.0], [1.0], [float(time)]))
    scores = np.array([model.score(user, np.arange(40, dtype=np.int32)) for user in range(40)])
    even = scores[:, ::2].mean(axis=1) > scores[:, 1::2].mean(axis=1)
    assert (even == (np.arange(40) % 2 == 0)).mean() > 0.95
    assert np.abs(model.item_factors).max() < 10.0


def naive_user_knn(given: dict[int, dict[int, float]], user: int, items: int, k: int) -> list[float]:
    """The formula of the module, with dictionaries."""
    means = {u: sum(r.values()) / len(r) for u, r in given.items() if r}
    own = given.get(user, {})
    if not own:
        return [0.0] * items
    similar = []
    for other, ratings in given.items():
        both = sorted(own.keys() & ratings.keys())
        a = [own[i] - means[user] for i in both]
        b = [ratings[i] - means[other] for i in both]
        norm = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        if other != user and norm > 1e-9 and sum(x * y for x, y in zip(a, b, strict=True)) / norm > 1e-12:
            similar.append((sum(x * y for x, y in zip(a, b, strict=True)) / norm, other))
    nearest = sorted(similar, key=lambda pair: (-round(pair[0], 9), pair[1]))[:k]
    scores = []
    for item in range(items):
        votes = [(s, given[v][item] - means[v]) for s, v in nearest if item in given[v]]
        weight = sum(s for s, _ in votes)
        scores.append(means[user] + (sum(s * d for s, d in votes) / weight if weight else 0.0))
    return scores


@pytest.mark.parametrize("seed", range(4))
def test_user_neighbours_equal_the_naive_version_under_rerating_and_withdrawal(seed: int) -> None:
    history = History()
    # As many neighbours as users: with fewer, ties in the last place are decided by rounding.
    model = UserKNN(ModelContext(history), k=50)
    given: dict[int, dict[int, float]] = {}
    for event in random_log(400, seed):
        model.learn(history.append(*columns([event])))
        user, item, rating = event[:3]
        if rating != rating:
            given.setdefault(user, {}).pop(item, None)
        else:
            given.setdefault(user, {})[item] = rating
    everything = np.arange(20, dtype=np.int32)
    for user in range(13):
        expected = naive_user_knn({u: r for u, r in given.items() if r}, user, 20, 50)
        assert model.score(user, everything) == pytest.approx(expected, abs=1e-6)


def test_only_the_nearest_users_vote() -> None:
    history = History()
    log = [(0, 0, 5.0), (0, 1, 1.0), (0, 2, 4.0)]
    for user, (a, b, c, new) in enumerate([(5, 1, 4, 5), (5, 1, 4, 4), (1, 5, 2, 1), (5, 4, 4, 1)], 1):
        log += [(user, 0, float(a)), (user, 1, float(b)), (user, 2, float(c)), (user, 3, float(new))]
    model = UserKNN(ModelContext(history), k=2)
    for user, item, rating in log:
        model.learn(history.append([user], [item], [rating], [1.0], [0.0]))
    neighbours, similarities = model.similarities(0)
    assert sorted(neighbours.tolist()) == [1, 2]
    assert (similarities > 0.9).all()
    assert model.neighbours(0, np.array([3, 7], np.int32)).tolist() == [2, 0]
    assert model.score(0, np.array([3], np.int32))[0] > 10 / 3


def test_a_user_whose_only_rating_changes_stays_finite() -> None:
    history = History()
    model = UserKNN(ModelContext(history))
    for user, rating in ((0, 4.0), (1, 3.0), (0, 2.0), (0, 5.0)):
        model.learn(history.append([user], [0], [rating], [1.0], [0.0]))
    assert model.score(0, np.array([0, 1], np.int32)).tolist() == [5.0, 5.0]


def naive_item_knn(history: History, user: int, items: int) -> list[float]:
    """Co-occurrence with recency for distinct times, where positions are places in the user's list."""
    lists = {u: history.rated(u)[0].tolist() for u in range(history.user_count)}
    weights = {u: history.rated(u)[2].tolist() for u in range(history.user_count)}
    counts = history.item_counts
    scores = [0.0] * items
    own, own_weights = lists[user][::-1][:20], weights[user][::-1][:20]
    for lag, (near, weight) in enumerate(zip(own, own_weights, strict=True)):
        strength = 0.8**lag * weight / (counts[near] + 20.0) ** 0.6
        for other, entries in lists.items():
            if other == user or near not in entries:
                continue
            centre = entries.index(near)
            for place, item in enumerate(entries):
                distance = abs(place - centre)
                if distance <= 20:
                    share = 0.95 ** max(distance - 1, 0) * (0.8 if place < centre else 1.0)
                    scores[item] += strength * weights[other][place] * share
    return [score / math.sqrt(counts[item] + 10.0) for item, score in enumerate(scores)]


def test_item_neighbours_equal_the_naive_sum() -> None:
    rng = np.random.default_rng(3)
    history = History()
    pairs = list(dict.fromkeys((int(u), int(i)) for u, i in rng.integers(0, 12, (200, 2))))
    for time, (user, item) in enumerate(pairs):
        weight = float(rng.choice([0.5, 1.0]))
        history.append([user], [item], [1.0], [weight], [float(time)])
    model = ItemKNN(ModelContext(history))
    count = history.item_count
    for user in range(12):
        found = model.score(user, np.arange(count, dtype=np.int32))
        assert found == pytest.approx(naive_item_knn(history, user, count), rel=1e-5)
