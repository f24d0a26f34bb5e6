"""Each guard around FluRS: FluRS fails without it, the guarded one does not."""

from __future__ import annotations

import io
import logging
import math
from typing import Any

import flurs
import numpy as np
import pytest
from flurs.data.entity import Event, Item, User
from flurs.recommender import BPRMFRecommender, MFRecommender, SketchRecommender, UserKNNRecommender

from recommender.history.history import History
from recommender.models.base import Model, ModelContext
from recommender.models.flurs.models import FlursBPRMF, FlursMF, FlursSketch, FlursUserKNN
from tests.unit.history.test_history import Log, columns

ITEMS = np.arange(4, dtype=np.int32)


def made(recommender: Any) -> Any:
    recommender.initialize()
    return recommender


def guarded(cls: type[Any], log: Log, **options: Any) -> Any:
    history = History()
    model: Model = cls(ModelContext(history, 5), **options)
    model.learn(history.append(*columns(log)))
    return model


def positive(*pairs: tuple[int, int]) -> Log:
    return [(user, item, 5.0, 1.0, float(e)) for e, (user, item) in enumerate(pairs)]


def test_registration_out_of_order() -> None:
    bare = made(MFRecommender(k=2))
    bare.register(User(0))
    bare.register(Item(1))
    with pytest.raises(IndexError):
        bare.update(Event(User(0), Item(1)))
    model = guarded(FlursMF, positive((2, 3), (0, 1)), k=2)
    assert model.flurs.Q.shape == (4, 2)
    assert sorted(model.flurs.users) == [0, 1, 2]


def test_registering_twice_forgets_what_was_learned() -> None:
    bare = made(MFRecommender(k=2))
    bare.register(User(0))
    before = bare.users[0]["vec"].copy()
    bare.register(User(0))
    assert not np.array_equal(bare.users[0]["vec"], before)
    assert bare.n_user == 2
    model = guarded(FlursMF, positive((0, 0), (0, 1), (0, 2)), k=2)
    assert model.flurs.n_user == 1
    assert model.flurs.n_item == 3


@pytest.mark.parametrize(("bare", "cls"), [(MFRecommender, FlursMF), (BPRMFRecommender, FlursBPRMF)])
def test_unseen_user_and_empty_catalogue(bare: Any, cls: type[Any]) -> None:
    fresh = made(bare(k=2))
    with pytest.raises(KeyError):
        fresh.score(User(0), ITEMS)
    fresh.register(User(0))
    with pytest.raises(IndexError):
        fresh.score(User(0), ITEMS)
    model = guarded(cls, [], k=2)
    assert np.isfinite(model.score(0, ITEMS)).all()
    assert np.isfinite(guarded(cls, positive((0, 0)), k=2).score(9, ITEMS)).all()


def test_an_unseen_item_among_the_candidates() -> None:
    bare = made(MFRecommender(k=2))
    bare.register(User(0))
    bare.register(Item(0))
    with pytest.raises(IndexError):
        bare.score(User(0), ITEMS)
    scores = guarded(FlursMF, positive((0, 0)), k=2).score(0, ITEMS)
    assert scores[1:].tolist() == [-1.0] * 3
    assert scores[0] != -1.0


def test_values_are_overwritten_and_logged() -> None:
    out = io.StringIO()
    handler, level = logging.StreamHandler(out), flurs.logger.level
    flurs.logger.addHandler(handler)
    flurs.logger.setLevel(logging.DEBUG)
    try:
        bare = made(MFRecommender(k=2))
        bare.register(User(0))
        bare.register(Item(0))
        event = Event(User(0), Item(0), 4.0)
        bare.update(event)
        assert event.value == 1.0
        assert "automatically converted" in out.getvalue()
        out.truncate(0)
        history = History()
        model = FlursMF(ModelContext(history), k=2)
        events = history.append([0], [0], [4.0], [1.0], [0.0])
        model.learn(events)
        assert events.ratings.tolist() == [4.0]
        assert out.getvalue().strip("\0") == ""
    finally:
        flurs.logger.removeHandler(handler)
        flurs.logger.setLevel(level)


def test_flurs_own_log_handler_is_gone() -> None:
    assert flurs.handler not in flurs.logger.handlers


def test_a_user_who_knows_every_item() -> None:
    bare = made(BPRMFRecommender(k=2))
    bare.register(User(0))
    bare.register(Item(0))
    bare.users[0]["known_items"].add(0)
    with pytest.raises(ValueError, match="cannot be empty"):
        bare.update(Event(User(0), Item(0)))
    model = guarded(FlursBPRMF, positive((0, 0), (0, 1), (0, 2)), k=2)
    assert model.flurs.users[0]["known_items"] == {0, 1, 2}


def test_user_knn_divides_by_zero() -> None:
    ratings = [(0, 0, 5.0), (0, 0, 3.0), (1, 0, 4.0)]
    bare = made(UserKNNRecommender())
    for user in range(2):
        bare.register(User(user))
    bare.register(Item(0))
    with np.errstate(all="ignore"):
        for user, item, value in ratings:
            bare.update(Event(User(user), Item(item), value))
        assert not np.isfinite(bare.score(User(0), np.zeros(1, int))).all()
    model = guarded(FlursUserKNN, [(u, i, r, 1.0, 0.0) for u, i, r in ratings])
    assert not np.isfinite(model.flurs.users[0]["mean"])
    assert np.isfinite(model.score(0, ITEMS)).all()


def test_sketch_before_its_first_event() -> None:
    bare = made(SketchRecommender(p=4))
    bare.register(Item(0, np.ones(2)))
    with pytest.raises(AttributeError):
        bare.score(User(0, np.ones(2)), np.zeros(1, int))
    # An event that does not teach registers its user and item all the same.
    model = guarded(FlursSketch, [(0, 0, 1.0, 0.2, 0.0)], buckets=2)
    assert model.score(0, ITEMS).tolist() == [-1.0] * 4


def test_the_global_generator_moves_and_disturbs() -> None:
    def first_vector(disturbed: bool) -> list[float]:
        np.random.seed(1)  # noqa: NPY002
        bare = made(MFRecommender(k=2))
        if disturbed:
            np.random.random()  # noqa: NPY002
        bare.register(User(0))
        vector: list[float] = bare.users[0]["vec"].tolist()
        return vector

    assert first_vector(False) != first_vector(True)
    outcomes = []
    for disturbances in (0, 1):
        np.random.seed(disturbances)  # noqa: NPY002
        outcomes.append(guarded(FlursMF, positive((0, 0), (1, 1)), k=2).score(1, ITEMS).tolist())
    assert outcomes[0] == outcomes[1]


def test_the_guarded_one_is_otherwise_flurs() -> None:
    pairs = [(0, 0), (1, 0), (1, 1), (0, 2), (2, 1), (2, 2)] * 5
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    bare = made(BPRMFRecommender(k=3))
    for user, item in pairs:
        if bare.is_new_user(user):
            bare.register(User(user))
        if bare.is_new_item(item):
            bare.register(Item(item))
        bare.users[user]["known_items"].add(item)
        if len(bare.users[user]["known_items"]) < bare.n_item:
            bare.update(Event(User(user), Item(item), 1.0))
    np.random.set_state(state)  # noqa: NPY002
    model = guarded(FlursBPRMF, positive(*pairs), k=3)
    assert model.score(1, ITEMS[:3]).tolist() == bare.score(User(1), ITEMS[:3]).tolist()


def test_withdrawals_teach_nothing() -> None:
    log = positive((0, 0), (1, 1))
    withdrawn = [*log, (0, 0, math.nan, 0.0, 9.0)]
    assert (
        guarded(FlursMF, log).score(0, ITEMS).tolist() == guarded(FlursMF, withdrawn).score(0, ITEMS).tolist()
    )
