"""What every model must do, whichever it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import NEVER, Arrays, Model, ModelContext
from tests.unit.history.test_history import Log, columns

OWN = [name for name, _ in registry.describe() if not name.startswith("flurs:")]
FLURS = [f"flurs:{name}" for name in ("mf/k=4", "bprmf/k=4", "user-knn", "fm/k=3", "sketch/buckets=5")]
OPTIONS = ["mf/rate=constant/negatives=0/rank=distance"]
SPECS = [*OWN, *OPTIONS, *FLURS]

model_specs = pytest.mark.parametrize("spec", SPECS)


class Learner:
    """A history and a model on it, driven as a shard drives them."""

    def __init__(self, spec: str, seed: int = 3) -> None:
        self.history = History(32)
        self.model: Model = registry.create(spec, ModelContext(self.history, seed, positive_weight=1.0))

    def learn(self, log: Log, cuts: tuple[int, ...] = ()) -> Learner:
        start = 0
        for stop in [*sorted(cuts), len(log)]:
            self._batch(log[start:stop])
            start = stop
        return self

    def _batch(self, log: Log) -> None:
        while log:
            event = self.history.event_count
            wanted = self.model.next_observation(event)
            if wanted == event:
                user, item, _, weight, _ = log[0]
                self.model.observe(user, item, weight)
                wanted = self.model.next_observation(event + 1)
            count = 1 if self.model.reads_history_to_learn else max(1, min(len(log), wanted - event))
            self.model.learn(self.history.append(*columns(log[:count])))
            log = log[count:]

    def state(self) -> Arrays:
        return {**{f"history.{k}": v for k, v in self.history.state().items()}, **self.model.state()}

    def restored(self, spec: str, seed: int = 3) -> Learner:
        other = Learner(spec, seed)
        other.history.restore(self.history.state())
        other.model.restore(self.model.state())
        return other

    def scores(self, users: int = 14, items: int = 24) -> np.ndarray[Any, Any]:
        everything = np.arange(items, dtype=np.int32)
        return np.array([self.model.score(user, everything) for user in range(users)])


def random_log(count: int, seed: int, users: int = 12, items: int = 20) -> Log:
    """Ratings, some again, some withdrawn, in any order that a stream may bring; indices appear in order."""
    rng = np.random.default_rng(seed)
    seen_users, seen_items = 0, 0
    log: Log = []
    for e in range(count):
        user = min(int(rng.integers(0, users)), seen_users)
        item = min(int(rng.zipf(1.4)) - 1, items - 1, seen_items)
        seen_users, seen_items = max(seen_users, user + 1), max(seen_items, item + 1)
        rating = float(rng.choice([1.0, 2.0, 3.0, 4.0, 5.0, math.nan]))
        log.append((user, item, rating, 0.0 if rating != rating else rating / 4, float(e // 3)))
    return log


def assert_same(left: Arrays, right: Arrays) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].dtype == right[name].dtype, name
        assert left[name].tobytes() == right[name].tobytes(), name


@model_specs
def test_scores_are_finite_and_one_for_each_candidate(spec: str) -> None:
    learner = Learner(spec).learn(random_log(150, seed=1))
    for user in (0, 5, 13, 1000):
        for candidates in ([], [0], [3, 1, 2], [19, 20, 500], [2, 2]):
            scores = learner.model.score(user, np.array(candidates, np.int32))
            assert scores.shape == (len(candidates),)
            assert scores.dtype == np.float64
            assert np.isfinite(scores).all()
            support = learner.model.neighbours(user, np.array(candidates, np.int32))
            assert support is None or (support.shape == scores.shape and (support >= 0).all())


@model_specs
def test_scores_before_anything_is_learned(spec: str) -> None:
    scores = Learner(spec).model.score(0, np.arange(3, dtype=np.int32))
    assert np.isfinite(scores).all()


@model_specs
def test_a_candidate_scores_the_same_in_any_company(spec: str) -> None:
    learner = Learner(spec).learn(random_log(150, seed=2))
    together = learner.model.score(2, np.arange(20, dtype=np.int32))
    backwards = learner.model.score(2, np.arange(19, -1, -1, dtype=np.int32))
    np.testing.assert_allclose(backwards[::-1], together, rtol=1e-9, atol=1e-12)


@model_specs
def test_batches_make_no_difference(spec: str) -> None:
    log = random_log(150, seed=4)
    whole = Learner(spec).learn(log)
    for cuts in ((1, 2, 3), (75,), tuple(range(150))):
        pieces = Learner(spec).learn(log, cuts)
        assert_same(whole.state(), pieces.state())
        assert whole.scores().tobytes() == pieces.scores().tobytes()


@model_specs
@pytest.mark.parametrize("place", [0, 1, 80])
def test_restoring_and_going_on_equals_never_having_stopped(spec: str, place: int) -> None:
    log = random_log(160, seed=5)
    learner = Learner(spec).learn(log[:place])
    restored = learner.restored(spec)
    assert_same(restored.state(), learner.state())
    assert restored.scores().tobytes() == learner.scores().tobytes()
    learner.learn(log[place:])
    restored.learn(log[place:])
    assert_same(restored.state(), learner.state())
    assert restored.scores().tobytes() == learner.scores().tobytes()


@model_specs
def test_scoring_changes_nothing(spec: str) -> None:
    log = random_log(150, seed=6)
    learner, watched = Learner(spec).learn(log[:100]), Learner(spec).learn(log[:100])
    before = watched.state()
    watched.scores()
    watched.model.neighbours(1, np.arange(5, dtype=np.int32))
    assert_same(before, watched.state())
    assert_same(learner.learn(log[100:]).state(), watched.learn(log[100:]).state())


@model_specs
def test_a_saved_state_is_a_copy(spec: str) -> None:
    log = random_log(120, seed=7)
    learner = Learner(spec).learn(log[:60])
    saved = learner.state()
    before = {name: array.copy() for name, array in saved.items()}
    learner.learn(log[60:])
    assert_same(saved, before)


@model_specs
def test_the_seed_decides(spec: str) -> None:
    log = random_log(100, seed=8)
    assert (
        Learner(spec, seed=1).learn(log).scores().tobytes()
        == Learner(spec, seed=1).learn(log).scores().tobytes()
    )


@model_specs
def test_everything_may_be_withdrawn_and_rated_again(spec: str) -> None:
    ratings: Log = [(user, item, 5.0, 1.25, 0.0) for user in range(4) for item in range(3)]
    withdrawals: Log = [(user, item, math.nan, 0.0, 1.0) for user, item, *_ in ratings]
    learner = Learner(spec).learn(ratings + withdrawals + withdrawals)
    assert np.isfinite(learner.scores()).all()
    learner.learn(ratings + ratings)
    assert np.isfinite(learner.scores()).all()


@model_specs
def test_indices_may_jump(spec: str) -> None:
    learner = Learner(spec).learn([(3, 5, 5.0, 1.25, 0.0), (1, 2, 4.0, 1.0, 1.0), (3, 2, 5.0, 1.25, 2.0)])
    assert np.isfinite(learner.scores(5, 7)).all()


@model_specs
def test_the_global_generator_is_left_alone(spec: str) -> None:
    np.random.seed(7)  # noqa: NPY002
    before = np.random.get_state()  # noqa: NPY002
    learner = Learner(spec).learn(random_log(60, seed=9))
    learner.scores()
    learner.restored(spec)
    np.testing.assert_equal(np.random.get_state(), before)  # noqa: NPY002


@model_specs
def test_observations_are_asked_for_in_order(spec: str) -> None:
    model = Learner(spec).model
    for event in (0, 1, 17, 1000, 123_456):
        wanted = model.next_observation(event)
        assert wanted >= event
        assert wanted == NEVER or model.next_observation(wanted) == wanted
