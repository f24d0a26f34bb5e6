"""KNNBaseline between trainings, its state, its order and what it refuses."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import Arrays, ModelContext
from recommender.models.knn_baseline import kept_pairs
from recommender.models.knn_baseline.knn_baseline import KNNBaseline, RatingError
from recommender.models.knn_baseline.model import KNNBaselineModel
from recommender.models.options import ModelError
from tests.support.baselines import baseline_of

SIMILARITIES = ["msd", "cosine", "pearson", "pearson_baseline"]
USERS, ITEMS = 30, 40


def model(**options: Any) -> KNNBaselineModel:
    return KNNBaselineModel(ModelContext(History()), **options)


def random_events(
    seed: int, count: int, step: float = 0.5
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Ratings on a grid, one in five withdrawn; users and items grow in number."""
    draw = np.random.default_rng(seed)
    growing = np.minimum(1.0, 0.1 + np.arange(count) / count)
    users = (draw.random(count) * USERS * growing).astype(np.int32)
    items = (draw.random(count) * ITEMS * growing).astype(np.int32)
    ratings = draw.integers(1, 10, count) * step
    ratings[draw.random(count) < 0.2] = np.nan
    return users, items, ratings


def all_scores(of: KNNBaselineModel) -> bytes:
    everything = np.arange(-1, ITEMS + 2, dtype=np.int32)
    answers = [of.estimate(user, everything) for user in range(-1, USERS + 2)]
    return b"".join(scores.tobytes() + neighbours.tobytes() for scores, neighbours in answers)


def as_bytes(state: Arrays) -> dict[str, bytes]:
    return {name: array.dtype.str.encode() + array.tobytes() for name, array in state.items()}


@pytest.mark.parametrize("user_based", [False, True])
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("step", [0.5, 0.1])
def test_state_depends_on_events_alone(similarity: str, user_based: bool, step: float) -> None:
    """However the events are cut, and whatever is saved and restored in between."""
    options: dict[str, Any] = {"similarity": similarity, "user_based": user_based, "k": 5, "retrain": 300}
    users, items, ratings = random_events(1, 1500, step)
    whole = model(**options)
    whole.learn_ratings(users, items, ratings)
    pieces, draw, done = model(**options), random.Random(2), 0
    while done < len(users):
        stop = done + draw.choice([1, 2, 50, 400])
        pieces.learn_ratings(users[done:stop], items[done:stop], ratings[done:stop])
        done = stop
        if draw.random() < 0.3:
            state = pieces.state()
            pieces = model(**options)
            pieces.restore(state)
            assert as_bytes(pieces.state()) == as_bytes(state)
    assert as_bytes(pieces.state()) == as_bytes(whole.state())
    assert all_scores(pieces) == all_scores(whole)


@pytest.mark.parametrize("similarity", ["msd", "cosine", "pearson"])
def test_kept_sums_give_what_the_ratings_give(similarity: str) -> None:
    users, items, ratings = random_events(3, 2000)
    kept, found = model(similarity=similarity, k=7), model(similarity=similarity, k=7, memory=0)
    for each in (kept, found):
        each.learn_ratings(users, items, ratings)
    assert kept.keeps == kept_pairs.SUMMED
    assert found.keeps == kept_pairs.NOTHING
    assert all_scores(kept) == all_scores(found)


def test_sums_of_pairs_are_dropped_when_they_outgrow_their_memory() -> None:
    count = 400  # 400 * 400 / 2 pairs of 32 bytes are 2.4 MiB
    items = np.arange(count, dtype=np.int32)
    users, ratings = (items % 7).astype(np.int32), np.ones(count)
    bounded, roomy = model(memory=2), model(memory=3)
    for each in (bounded, roomy):
        each.learn_ratings(users, items, ratings)
    assert bounded.keeps == kept_pairs.FOUND
    assert roomy.keeps == kept_pairs.SUMMED
    assert all_scores(bounded) == all_scores(roomy)


@pytest.mark.parametrize("user_based", [False, True])
def test_a_brand_new_user_and_item_have_the_baseline_of_least_squares(user_based: bool) -> None:
    known = [(f"u{u}", f"i{i}", float((u * i) % 5 + 1)) for u in range(8) for i in range(9) if (u + i) % 3]
    knn = KNNBaseline(user_based=user_based, reg_u=4.0, reg_i=3.0, retrain=0)
    knn.train(known)
    before = {item: baseline_of(knn.model, item=knn.items.find(item)) for item in knn.items.ids()}
    mean = sum(rating for _, _, rating in known) / len(known)
    given = {"i1": 5.0, "i4": 1.0, "i7": 4.0}
    for item, rating in [("i1", 2.0), ("i2", 3.0), *given.items(), ("i2", None)]:
        knn.set_rating("new", item, rating)
    user = knn.users.find("new")
    expected = sum(r - mean - before[i] for i, r in given.items()) / (4.0 + len(given))
    assert baseline_of(knn.model, user=user) == pytest.approx(expected, abs=1e-12)
    assert {item: baseline_of(knn.model, item=knn.items.find(item)) for item in before} == before
    knn.set_rating("u1", "brand-new", 5.0)
    knn.set_rating("u2", "brand-new", 4.0)
    biases = [baseline_of(knn.model, user=knn.users.find(name)) for name in ("u1", "u2")]
    brand_new = knn.items.find("brand-new")
    expected = (5.0 - mean - biases[0] + 4.0 - mean - biases[1]) / (3.0 + 2)
    assert baseline_of(knn.model, item=brand_new) == pytest.approx(expected, abs=1e-12)


def test_a_user_without_ratings_left_is_answered_like_a_stranger() -> None:
    knn = KNNBaseline()
    knn.train([("a", "x", 5), ("a", "y", 4), ("b", "x", 1), ("c", "y", 2), ("c", "x", 5)])
    assert not knn.top("b", ["y"])[0].cold_start
    knn.set_rating("b", "x", None)
    assert knn.top("b", ["x", "y", "z"]) == knn.top("stranger", ["x", "y", "z"])
    assert all(answer.cold_start and answer.neighbours == 0 for answer in knn.top("b", ["x", "y", "z"]))
    knn.set_rating("b", "x", 2)
    assert not knn.top("b", ["y"])[0].cold_start


def test_nothing_learned_is_answered_with_zero() -> None:
    knn = KNNBaseline()
    assert knn.top("a", ["x"]) == [("x", 0.0, 0, True)]
    knn.train([])
    assert knn.top("a", ["x"]) == [("x", 0.0, 0, True)]
    knn.set_rating("a", "x", None)
    assert knn.model.events == 0
    assert knn.top("a", []) == []


def test_order_is_by_estimate_then_neighbours_then_as_given() -> None:
    knn = KNNBaseline(low=-1, high=1, reg_u=0.0, reg_i=0.0, n_epochs=1)
    few, many = [("f1",), ("f2",)], [(f"m{n}",) for n in range(3)]
    ratings = [(user, item, 1.0) for (user,) in few for item in ("p", "q")]
    ratings += [(user, item, 1.0) for (user,) in many for item in ("p", "r", "s")]
    ratings += [("me", "p", 1.0), ("me", "r", 1.0)]
    knn.train(ratings)
    answers = knn.top("me", ["q", "unknown", "s", "q", "other"])
    assert [answer.estimate for answer in answers] == [1.0, 1.0, 1.0, 1.0]
    assert [(answer.item, answer.neighbours) for answer in answers] == [
        ("s", 2),
        ("q", 1),
        ("unknown", 0),
        ("other", 0),
    ]
    assert [answer.item for answer in knn.top("me", ["other", "unknown", "q"], n=3)][1:] == [
        "other",
        "unknown",
    ]


def test_trains_itself_by_the_number_of_events() -> None:
    """After 1, 2, 4, ... events and then after every `retrain`: the same as training by hand then."""
    users, items, ratings = random_events(5, 64)
    itself, by_hand = model(retrain=10), model(retrain=0)
    trained = []
    for n in range(64):
        one = slice(n, n + 1)
        itself.learn_ratings(users[one], items[one], ratings[one])
        by_hand.learn_ratings(users[one], items[one], ratings[one])
        if n + 1 in (1, 2, 4, 8, 10, 20, 30, 40, 50, 60):
            by_hand.train()
            trained.append(n)
        assert all_scores(itself) == all_scores(by_hand)
    assert len(trained) == 10


def test_set_rating_and_the_shared_interface_give_one_state() -> None:
    users, items, ratings = random_events(6, 700, 1.0)
    history, knn = History(), KNNBaseline(k=9, retrain=100)
    shared = KNNBaselineModel(ModelContext(history), k=9, retrain=100)
    # Users and items are numbered in the order of their first event, as the plain class numbers ids.
    user_numbers: dict[int, int] = {}
    item_numbers: dict[int, int] = {}
    for user, item, rating in zip(users.tolist(), items.tolist(), ratings.tolist(), strict=True):
        withdrawn = rating != rating
        if withdrawn and not (user in user_numbers and item in item_numbers):
            continue
        knn.set_rating(str(user), str(item), None if withdrawn else rating)
        u = user_numbers.setdefault(user, len(user_numbers))
        i = item_numbers.setdefault(item, len(item_numbers))
        events: Events = history.append([u], [i], [rating], [1.0], [0.0])
        shared.learn(events)
    assert as_bytes(shared.state()) == as_bytes(knn.model.state())
    assert all_scores(shared) == all_scores(knn.model)
    everything = np.arange(ITEMS, dtype=np.int32)
    assert (shared.score(0, everything) == knn.model.estimate(0, everything)[0]).all()
    assert (shared.neighbours(0, everything) == knn.model.estimate(0, everything)[1]).all()


def test_plain_state_survives_restore() -> None:
    knn = KNNBaseline()
    knn.train([("a", "x", 5), ("a", "y", 4), ("b", "x", 1), ("ü", "y", 2)])
    other = KNNBaseline()
    other.restore(knn.state())
    for each in (knn, other):
        each.set_rating("b", "y", 3)
    assert other.top("b", ["x", "y", "z"]) == knn.top("b", ["x", "y", "z"])
    assert as_bytes(other.state()) == as_bytes(knn.state())


@pytest.mark.parametrize("user_based", [False, True])
def test_candidates_named_twice_or_unknown_are_scored_alike(user_based: bool) -> None:
    users, items, ratings = random_events(8, 500)
    for similarity in SIMILARITIES:
        knn = model(similarity=similarity, user_based=user_based)
        knn.learn_ratings(users, items, ratings)
        once = knn.score(3, np.arange(ITEMS, dtype=np.int32))
        twice = knn.score(3, np.tile(np.arange(ITEMS, dtype=np.int32), 2))
        assert (twice == np.tile(once, 2)).all()
        strange = knn.score(3, np.array([-5, -1, ITEMS + 100_000], np.int32))
        assert np.isfinite(strange).all()
        assert (strange == strange[0]).all()


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_ratings_without_spread_are_scored_finitely(similarity: str) -> None:
    for user_based in (False, True):
        knn = model(similarity=similarity, user_based=user_based, reg_u=0.0, reg_i=0.0)
        users, items = np.repeat(np.arange(4, dtype=np.int32), 4), np.tile(np.arange(4, dtype=np.int32), 4)
        knn.learn_ratings(users[:-1], items[:-1], np.zeros(15))
        assert np.isfinite(knn.score(3, np.arange(5, dtype=np.int32))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "jaccard"}, "similarity has value 'jaccard'.*msd, cosine, pearson, pearson_baseline"),
        ({"k": 0}, "k has value 0"),
        ({"k": -3}, "k has value -3"),
        ({"min_k": 0}, "min_k has value 0"),
        ({"k": 3, "min_k": 4}, "min_k has value 4.*between 1 and 3"),
        ({"min_support": 0}, "min_support has value 0"),
        ({"shrinkage": -1.0}, "shrinkage has value -1"),
        ({"n_epochs": 0}, "n_epochs has value 0"),
        ({"reg_u": -1.0}, "reg_u has value -1"),
        ({"reg_i": -1.0}, "reg_i has value -1"),
        ({"retrain": -1}, "retrain has value -1"),
        ({"memory": -1}, "memory has value -1"),
        ({"low": 5.0, "high": 1.0}, "low=5, high=1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        KNNBaseline(**options)


@pytest.mark.parametrize("rating", [float("nan"), float("inf"), 1.5, -2])
def test_ratings_outside_the_scale_are_refused(rating: float) -> None:
    knn = KNNBaseline(low=-1, high=1)
    knn.train([("a", "x", 1)])
    with pytest.raises(RatingError, match="between -1 and 1"):
        knn.set_rating("a", "y", rating)
    with pytest.raises(RatingError, match="between -1 and 1"):
        knn.train([("b", "x", 1), ("b", "y", rating)])
    assert not knn.top("a", ["x"])[0].cold_start
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        knn.top("a", ["x"], n=0)


def test_a_damaged_state_is_refused() -> None:
    knn = model()
    knn.learn_ratings(*random_events(9, 50))
    state = knn.state()
    with pytest.raises(ModelError, match="lacks mean"):
        model().restore({name: array for name, array in state.items() if name != "mean"})
    with pytest.raises(ModelError, match="entry_items of model knn-baseline has length"):
        model().restore(state | {"entry_items": state["entry_items"][:-1]})


def test_the_registry_makes_it() -> None:
    made = registry.create("knn-baseline/similarity=cosine/user_based=true/k=7", ModelContext(History()))
    assert isinstance(made, KNNBaselineModel)
