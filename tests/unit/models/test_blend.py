"""The blend learns what works on a stream; its parts equal naive versions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from recommender.evaluation.prequential import evaluate
from recommender.evaluation.rank_metrics import recall
from recommender.evaluation.streams import Stream
from recommender.history.history import History
from recommender.models import reasons, registry
from recommender.models.base import ModelContext
from recommender.models.blend.blend import Blend
from recommender.models.blend.features import FEATURES
from recommender.models.blend.popularity import HALF_LIVES
from recommender.models.blend.weights import context_of

Pair = tuple[int, int]


def stream(pairs: list[Pair]) -> Stream:
    users, items = np.array(pairs).T
    return Stream.of(users, items, np.ones(len(pairs)), np.arange(len(pairs), dtype=np.float64) * 10.0, 1.0)


def drawn(count: int, users: int, choose: Iterator[Pair]) -> list[Pair]:
    """The first so many pairs that do not repeat."""
    seen: dict[Pair, None] = {}
    for pair in choose:
        seen.setdefault(pair)
        if len(seen) == count:
            break
    return list(seen)


def fashions(seed: int) -> Iterator[Pair]:
    """Everybody wants what came up lately, whoever they are."""
    rng = np.random.default_rng(seed)
    for event in itertools.count():
        newest = event // 40
        yield int(rng.integers(400)), max(newest + 20 - int(rng.geometric(0.15)), 0)


def tastes(seed: int) -> Iterator[Pair]:
    """Each user stays in one of twenty groups of equally popular items."""
    rng = np.random.default_rng(seed)
    while True:
        user = int(rng.integers(600))
        yield user, user % 20 * 15 + int(rng.integers(15))


def favourites(seed: int) -> Iterator[Pair]:
    """Everybody draws from one list, the same for all at all times."""
    rng = np.random.default_rng(seed)
    while True:
        yield int(rng.integers(2000)), min(int(rng.zipf(1.5)) - 1, 400)


SINGLE = [
    "popular",
    "popular-recent/half_life=200",
    "popular-recent/half_life=5000",
    "item-knn",
    "sequence-knn",
]


@pytest.mark.parametrize(
    ("choices", "right"),
    [
        (fashions, ["popular-recent/half_life=200"]),
        (tastes, ["item-knn", "sequence-knn"]),
        (favourites, ["popular", "popular-recent/half_life=5000"]),
    ],
)
def test_it_finds_out_what_works(choices: object, right: list[str]) -> None:
    assert callable(choices)
    pairs = drawn(4000, 600, choices(1))
    results = {result.model: recall(result.array()) for result in evaluate(stream(pairs), [*SINGLE, "blend"])}
    best = max(results[name] for name in SINGLE)
    assert max(results[name] for name in right) == best, "the stream is not what it claims to be"
    assert results["blend"] >= 0.97 * best
    wrong = [results[name] for name in SINGLE if name not in right]
    assert results["blend"] > 1.1 * min(wrong)


def test_what_complements_each_other_is_better_than_each() -> None:
    def both(seed: int) -> Iterator[Pair]:
        """Users keep to a group, and in each group new items come up and go."""
        rng = np.random.default_rng(seed)
        for event in itertools.count():
            user = int(rng.integers(300))
            age = int(rng.geometric(0.3)) - 1
            yield user, max(event // 500 + 4 - age, 0) * 10 + user % 10

    results = {
        result.model: recall(result.array())
        for result in evaluate(stream(drawn(5000, 300, both(2))), [*SINGLE, "blend"])
    }
    assert results["blend"] > max(results[name] for name in SINGLE)


def test_a_user_without_history_gets_what_is_popular_now() -> None:
    history = History()
    model = Blend(ModelContext(history))
    for event, (user, item) in enumerate(drawn(3000, 400, fashions(3))):
        if model.next_observation(event) == event:
            model.observe(user, item, 1.0)
        model.learn(history.append([user], [item], [1.0], [1.0], [float(event)]))
    everything = np.arange(history.item_count, dtype=np.int32)
    top = np.argsort(-model.score(10**6, everything), kind="stable")[:10]
    assert (top > history.item_count - 40).all()
    assert model.answers_unseen_users


def test_features_equal_naive_ones() -> None:
    rng = np.random.default_rng(5)
    history = History()
    model = Blend(ModelContext(history, positive_weight=1.0))
    log: list[tuple[int, int, float]] = []
    pairs = list(dict.fromkeys((int(u), int(i)) for u, i in rng.integers(0, [9, 12], (90, 2))))
    for user, item in pairs:
        log.append((user, item, float(rng.choice([0.5, 1.0, 1.2]))))
    for time, (user, item, weight) in enumerate(log):
        model.learn(history.append([user], [item], [weight], [weight], [float(time)]))
    candidates = np.arange(14, dtype=np.int32)
    features = dict(zip(FEATURES, model.features(0, candidates).T, strict=True))
    now = len(log)
    for item in range(12):
        times = [time for time, (_, i, _) in enumerate(log) if i == item]
        positives = sum(weight >= 1.0 for _, i, weight in log if i == item)
        assert features["log popularity"][item] == pytest.approx(math.log(len(times) + 1))
        share = (positives + 1) / (len(times) + 2)
        assert features["log positive share"][item] == pytest.approx(math.log(share))
        assert features["log age"][item] == pytest.approx(math.log(now - times[0] + 10))
        for half_life in HALF_LIVES.tolist():
            fading = sum(2.0 ** ((time - now) / half_life) for time in times)
            name = f"log popularity, {half_life:.0f}"
            assert features[name][item] == pytest.approx(max(math.log(fading), math.log(0.1)), abs=1e-9)
    sequence = registry.create("sequence-knn/raters_decay=0.9", ModelContext(history)).score(0, candidates)
    assert features["sequence"] == pytest.approx(sequence / sequence.max())
    assert np.isfinite(model.features(3, candidates)).all()
    assert features["sequence"][12:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    "limits", ["max_entries=0", "max_entries=3", "effort=40", "raters=4", "entries=3", "entries=20"]
)
def test_bounded_work_is_that_of_sequence_neighbours(limits: str) -> None:
    rng = np.random.default_rng(13)
    pairs = list(dict.fromkeys((int(u), int(i)) for u, i in rng.integers(0, [12, 90], (600, 2))))
    users, items = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    history = History()
    context = ModelContext(history)
    blend, sequence = (
        registry.create(f"{name}/{limits}", context) for name in ("blend", "sequence-knn/raters_decay=0.9")
    )
    ones = np.ones(len(users), np.float32)
    blend.learn(history.append(users, items, ones, ones, np.arange(len(users)) * 10.0))
    candidates = np.arange(history.item_count, dtype=np.int32)
    assert isinstance(blend, Blend)
    for user in range(12):
        expected = sequence.score(user, candidates)
        assert blend.features(user, candidates)[:, 0] == pytest.approx(expected / expected.max())


def test_scores_are_weighted_features() -> None:
    history = History()
    model = Blend(ModelContext(history))
    for event, (user, item) in enumerate(drawn(600, 50, tastes(14))):
        if model.next_observation(event) == event:
            model.observe(user, item, 1.0)
        model.learn(history.append([user], [item], [1.0], [1.0], [float(event)]))
    candidates = np.array([3, 0, 17, 10**6], np.int32)
    for user in (0, 5, 10**6):
        weights = model.weights.trials.applied(model.weights.ranker.weights(context_of(history, user)))
        expected = model.features(user, candidates) @ weights
        assert model.score(user, candidates) == pytest.approx(expected)


def test_what_the_user_has_teaches_nothing_but_what_is_taken_again() -> None:
    history = History()
    model = Blend(ModelContext(history))
    for user, item in ((0, 0), (1, 0), (1, 1), (0, 1)):
        model.learn(history.append([user], [item], [1.0], [1.0], [0.0]))
    before = model.state()
    model.observe(0, 1, 1.0)
    after = model.state()
    changed = {name for name, value in after.items() if not np.array_equal(before[name], value)}
    assert changed == {"repeats_observed", "repeats_weights", "repeats_precision"}


def test_reasons_are_the_users_own_items_and_similar_items_stand_near() -> None:
    history = History()
    model = Blend(ModelContext(history))
    log = [(user, item) for user in range(1, 30) for item in ((0, 1, 2) if user % 2 else (5, 6, 7))]
    log += [(0, 0), (0, 1), (0, 5)]
    for time, (user, item) in enumerate(log):
        model.learn(history.append([user], [item], [1.0], [1.0], [float(time)]))
    for each in (model, registry.create("sequence-knn", ModelContext(history))):
        wanted = np.array([2, 6, 3], np.int32)
        two, six, never = reasons.explain(each, 0, wanted)  # type: ignore[arg-type]
        assert {own for own, _ in two} == {0, 1}
        assert [own for own, _ in six] == [5]
        assert never == []
        for found in (two, six):
            assert sum(share for _, share in found) == pytest.approx(1.0)
            assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)
        near = reasons.similar_items(each, 5, np.arange(8, dtype=np.int32))  # type: ignore[arg-type]
        assert set(np.argsort(-near)[:2].tolist()) == {6, 7}
        assert near[5] == 0.0
        assert reasons.explain(each, 99, wanted) == [[], [], []]  # type: ignore[arg-type]
