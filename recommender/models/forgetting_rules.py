"""The rules of forgetting that every model must keep, each a function that asserts one of them."""

from __future__ import annotations

import numpy as np

from recommender.models.base import (
    Model,
)
from recommender.models.driven import (
    ITEMS,
    USERS,
    Driven,
    Factory,
    expect_same,
    first,
    random_log,
)


def who_is_forgotten_was_never_there(make: Factory, seed: int) -> None:
    """A user or an item that is forgotten scores as an unknown one; a copy restored then goes on alike.

    Where no two unknown ones score alike, as chance alone tells them apart, it is as in a new model.
    """
    log, candidates = random_log(150, seed), first(ITEMS)
    driven = Driven(make).learn(log).forget_user(3).forget_item(1).forget_item(ITEMS + 3).forget_user(1000)
    for again in (False, True):
        model = driven.model
        by_chance = _tells_strangers_apart(model)
        stranger = (Driven(make).model if by_chance else model).score(3 if by_chance else 1000, candidates)
        forgotten = model.score(3, candidates)
        assert forgotten.tolist() == stranger.tolist(), (
            f"the forgotten user 3 has scores {forgotten.tolist()}: expected {stranger.tolist()}, as 1000"
        )
        if by_chance:
            break
        for user in (0, 3, 5, 1000):
            own, unknown = model.score(user, np.array([1, 500], np.int32)).tolist()
            assert own == unknown, (
                f"the forgotten item 1 has score {own} for user {user}: expected {unknown}, as item 500"
            )
            support = model.neighbours(user, np.array([1, 500], np.int32))
            assert support is None or support[0] == support[1], (
                f"the forgotten item 1 has {support[0]} neighbours for user {user}: expected {support[1]}"
            )
        if not again:
            restored = driven.restored(make)
            expect_same(driven, restored, "a model that has forgotten, and its restored copy")
            driven = restored
    other = Driven(make).learn(log, (40,)).forget_user(3).forget_item(1)
    others = [event for event in random_log(150, seed + 1) if event[0] != 3 and event[1] != 1]
    driven.learn(others, (30, 31))
    other.learn(others)
    expect_same(driven, other, "a model that has forgotten, and one whose logs were cut in another way")


def who_comes_in_place_of_a_forgotten_one_is_new(make: Factory, seed: int) -> None:
    """An index that was forgotten may be learned again, and goes on as after a restart."""
    log = random_log(150, seed)
    again = random_log(120, seed + 1)
    driven = Driven(make).learn(log).forget_user(3).forget_item(1)
    restored = driven.restored(make)
    driven.learn(again)
    restored.learn(again, (7, 60))
    expect_same(driven, restored, "an index that was forgotten and comes again, and the same after a restart")
    assert np.isfinite(driven.scores()).all(), "scores are not finite after a forgotten index came again"


def _tells_strangers_apart(model: Model) -> bool:
    return model.score(1000, first(ITEMS)).tolist() != model.score(1001, first(ITEMS)).tolist()


def an_item_may_leave_step_by_step(make: Factory, seed: int) -> None:
    """Raters of an item may withdraw a few at a time, others rating meanwhile; then it was never there."""
    log, between = random_log(150, seed), [event for event in random_log(60, seed + 2) if event[1] != 1]
    driven, other = Driven(make).learn(log), Driven(make).learn(log, (70,))
    raters = driven.history.raters_of(1)
    half = len(raters) // 2
    driven.withdraw(raters[:half], 1).learn(between)
    assert np.isfinite(driven.scores()).all(), "scores are not finite while an item is leaving"
    driven = driven.restored(make).withdraw(raters[half:], 1).forget_item(1)
    other.withdraw(raters[:1], 1).withdraw(raters[1:half], 1).learn(between, (20,))
    other.withdraw(raters[half:], 1).forget_item(1)
    expect_same(driven, other, "an item that left step by step, and the same cut in another way")
    if not _tells_strangers_apart(driven.model):
        for user in (0, 5, 1000):
            own, unknown = driven.model.score(user, np.array([1, 500], np.int32)).tolist()
            assert own == unknown, (
                f"item 1, which has left, has score {own} for user {user}: expected {unknown}, as item 500"
            )


def several_leave_as_one_after_the_other(make: Factory, seed: int) -> None:
    """`forget_users` and `forget_items` do what `forget_user` and `forget_item` do."""
    log = random_log(150, seed)
    driven, other = Driven(make).learn(log), Driven(make).learn(log)
    for one in (driven, other):
        for user in (2, 5, 7):
            one.withdraw_all(user)
        if one is driven:
            one.model.forget_users(np.array([2, 5, 7], np.int32))
            one.model.forget_items(np.array([500, 501], np.int32))
        else:
            for user in (2, 5, 7):
                one.model.forget_user(user)
            one.model.forget_item(500)
            one.model.forget_item(501)
    expect_same(driven, other, "users who were forgotten at once, and one after the other")


def everybody_may_be_forgotten(make: Factory, seed: int) -> None:
    """A model whose users and items are all forgotten knows nobody."""
    driven = Driven(make).learn(random_log(80, seed))
    for user in range(USERS):
        driven.forget_user(user)
    for item in range(ITEMS):
        driven.forget_item(item)
    scores = driven.scores()
    if _tells_strangers_apart(driven.model):
        assert (scores == Driven(make).scores()).all(), "scores are not those of a new model after all left"
    else:
        assert (scores == scores[0, 0]).all(), (
            f"scores are {scores.tolist()}: expected one value after all left"
        )
