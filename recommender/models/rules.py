"""The rules that every model must keep, each a function that drives a model and asserts one of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from recommender.models.base import (
    NEVER,
    Estimates,
    RanksCatalog,
    RanksLeaders,
    RanksRepeats,
    RanksTargets,
)
from recommender.models.driven import (
    ITEMS,
    USERS,
    Driven,
    Event,
    Factory,
    expect_equal,
    expect_same,
    expect_scores,
    first,
    random_log,
)
from recommender.models.forgetting_rules import (
    an_item_may_leave_step_by_step,
    everybody_may_be_forgotten,
    several_leave_as_one_after_the_other,
    who_comes_in_place_of_a_forgotten_one_is_new,
    who_is_forgotten_was_never_there,
)
from recommender.models.reasons import Comparing, Profiling


def scores_are_finite_and_one_for_each_candidate(make: Factory, seed: int) -> None:
    """Known and unknown users and items get a finite float64 each, in any order and number."""
    model = Driven(make).learn(random_log(150, seed)).model
    for user in (0, 5, 13, 1000):
        for chosen in ([], [0], [3, 1, 2], [19, 20, 500], [2, 2]):
            candidates = np.array(chosen, np.int32)
            scores = model.score(user, candidates)
            expect_scores(f"score({user}, {chosen})", scores, len(chosen))
            support = model.neighbours(user, candidates)
            assert support is None or (support.shape == scores.shape and (support >= 0).all()), (
                f"neighbours({user}, {chosen}) is {support!r}: expected None or a number of at least 0 for "
                "each candidate"
            )


def scores_come_before_anything_is_learned(make: Factory, seed: int) -> None:
    """A model that has learned nothing has finite scores."""
    expect_scores("score(0, [0, 1, 2]) of a new model", Driven(make, seed).model.score(0, first(3)), 3)


def the_order_of_candidates_makes_no_difference(make: Factory, seed: int) -> None:
    """A candidate scores the same wherever it stands among the candidates, but for rounding."""
    model = Driven(make).learn(random_log(150, seed)).model
    for user in range(USERS):
        ascending = model.score(user, first(ITEMS))
        descending = model.score(user, first(ITEMS)[::-1].copy())[::-1]
        same = np.allclose(descending, ascending, rtol=1e-9, atol=1e-12)
        assert same, f"user {user} has scores {ascending.tolist()}, in descending order {descending.tolist()}"


def batches_make_no_difference(make: Factory, seed: int) -> None:
    """The state is the same to the bit however the log is cut into batches."""
    log = random_log(150, seed)
    whole = Driven(make).learn(log)
    for cuts in ((1, 2, 3), (75,), tuple(range(150))):
        pieces = Driven(make).learn(log, cuts)
        expect_same(whole, pieces, f"a log learned at once, and cut at {str(cuts)[:30]}")


def a_restored_model_goes_on_as_if_never_stopped(make: Factory, seed: int) -> None:
    """`restore` of a `state` gives the same model to the bit, now and after more is learned."""
    log = random_log(160, seed)
    for stop in (0, 1, 80):
        driven = Driven(make).learn(log[:stop])
        restored = driven.restored(make)
        expect_same(driven, restored, f"a model and its restored copy after {stop} events")
        driven.learn(log[stop:])
        restored.learn(log[stop:])
        expect_same(driven, restored, f"a model, and a copy restored after {stop} events, after 160")


def scoring_changes_nothing(make: Factory, seed: int) -> None:
    """`score` and `neighbours` leave the model as it is."""
    log = random_log(150, seed)
    asked, never = Driven(make).learn(log[:100]), Driven(make).learn(log[:100])
    asked.scores()
    asked.model.neighbours(1, first(5))
    expect_equal(asked.state(), never.state(), "a model that was asked for scores, and one that was not")
    asked.learn(log[100:])
    never.learn(log[100:])
    expect_same(
        asked, never, "a model that was asked for scores before it learned more, and one that was not"
    )


def a_saved_state_is_a_copy(make: Factory, seed: int) -> None:
    """Learning leaves what `state` gave before as it is."""
    log = random_log(120, seed)
    driven = Driven(make).learn(log[:60])
    saved = driven.model.state()
    before = {name: array.copy() for name, array in saved.items()}
    driven.learn(log[60:])
    expect_equal(saved, before, "a saved state before and after more was learned")


def the_seed_is_the_only_randomness(make: Factory, seed: int) -> None:
    """Two models of one seed are equal to the bit, and numpy's global generator is left alone."""
    log = random_log(100, seed)
    before = str(np.random.get_state(legacy=False))  # noqa: NPY002
    first, second = Driven(make, seed=1).learn(log), Driven(make, seed=1).learn(log)
    expect_same(first, second, "two models of one seed")
    first.restored(make, seed=1)
    after = str(np.random.get_state(legacy=False))  # noqa: NPY002
    assert before == after, "numpy's global generator was used"


def everything_may_be_withdrawn_and_rated_again(make: Factory, seed: int) -> None:
    """Scores stay finite when all ratings are withdrawn, twice, and given again, twice."""
    ratings: list[Event] = [(user, item, 5.0, 1.25, 0.0) for user in range(4) for item in range(3)]
    withdrawals: list[Event] = [(user, item, math.nan, 0.0, 1.0) for user, item, *_ in ratings]
    driven = Driven(make, seed).learn(ratings + withdrawals + withdrawals)
    assert np.isfinite(driven.scores()).all(), "scores are not finite after all ratings were withdrawn"
    driven.learn(ratings + ratings)
    assert np.isfinite(driven.scores()).all(), "scores are not finite after withdrawn ratings came again"


def indices_may_jump(make: Factory, seed: int) -> None:
    """A user or an item may have any index above those before."""
    log = [(3, 5, 5.0, 1.25, 0.0), (1, 2, 4.0, 1.0, 1.0), (3, 2, 5.0, 1.25, 2.0)]
    driven = Driven(make, seed).learn(log)
    assert np.isfinite(driven.scores(5, 7)).all(), "scores are not finite after users 3 and 1, items 5 and 2"


def observations_are_asked_for_in_order(make: Factory, seed: int) -> None:
    """`next_observation` is a function of the event's number: the first one at or after it."""
    model = Driven(make, seed).model
    for event in (0, 1, 17, 1000, 123_456):
        wanted = model.next_observation(event)
        assert wanted >= event, f"next_observation({event}) is {wanted}: expected at least {event}"
        again = NEVER if wanted == NEVER else model.next_observation(wanted)
        assert again == wanted, f"next_observation({wanted}) is {again}: expected {wanted}, as for {event}"


def capabilities_agree_with_scores(make: Factory, seed: int) -> None:
    """`leading`, `ahead_of`, `estimate` and their like, if any, say what `score` and `neighbours` say."""
    model = Driven(make).learn(random_log(150, seed)).model
    candidates = first(ITEMS)
    for user in (0, 5, 1000):
        scores = model.score(user, candidates)
        if isinstance(model, RanksLeaders):
            for n in (1, 3, ITEMS, 100):
                positions, found = model.leading(user, candidates, n)
                bound = np.sort(scores)[-min(n, ITEMS)]
                expected = np.flatnonzero(scores >= bound)
                assert positions.tolist() == expected.tolist(), (
                    f"leading({user}, ..., {n}) gives positions {positions.tolist()}: expected "
                    f"{expected.tolist()}"
                )
                assert found.tolist() == scores[expected].tolist(), f"leading({user}, ..., {n}): other scores"
        if isinstance(model, RanksCatalog):
            for n in (1, 3, ITEMS, 100):
                items, found = model.leading_but(user, np.array([4, 4, 500], np.int32), n)
                rest = np.delete(candidates, 4)
                scores_of_rest = model.score(user, rest)
                leaders = scores_of_rest >= np.sort(scores_of_rest)[-min(n, len(rest))]
                assert items.tolist() == rest[leaders].tolist(), (
                    f"leading_but({user}, [4], {n}) gives items {items.tolist()}: expected "
                    f"{rest[leaders].tolist()}"
                )
                assert found.tolist() == scores_of_rest[leaders].tolist(), (
                    f"leading_but({user}, [4], {n}): other scores"
                )
        if isinstance(model, RanksTargets):
            scores_of_rest = model.score(user, np.delete(candidates, 4))
            for item in (0, ITEMS - 1):
                own = scores_of_rest[item - (item > 4)]
                counts = int((scores_of_rest > own).sum()), int((scores_of_rest == own).sum())
                ahead = model.ahead_of(user, item, np.array([4, 4, 500], np.int32))
                assert ahead == counts, f"ahead_of({user}, {item}, [4]) gives {ahead}: expected {counts}"
        if isinstance(model, RanksRepeats):
            expect_scores(f"score_rated({user}, ...)", model.score_rated(user, candidates), ITEMS)
        if isinstance(model, Estimates):
            estimates, support = model.estimate(user, candidates)
            assert estimates.tolist() == scores.tolist(), f"estimate({user}, ...): other scores than `score`"
            assert np.array_equal(support, np.asarray(model.neighbours(user, candidates))), (
                f"estimate({user}, ...): other neighbours than `neighbours`"
            )


def evidence_is_finite_and_never_negative(make: Factory, seed: int) -> None:
    """`score_profile` and `alike`, where a model has them, give a finite number for any candidate."""
    model = Driven(make).learn(random_log(150, seed)).model
    candidates = np.array([3, 0, 19, 500], np.int32)
    if isinstance(model, Profiling):
        for user in (0, 5, 1000):
            evidence = model.score_profile(model.profile(user), candidates)
            expect_scores(f"score_profile of user {user}", evidence, 4)
            assert (evidence >= 0.0).all(), f"score_profile of user {user} is {evidence}: expected at least 0"
    if isinstance(model, Comparing):
        for item in (0, 7, 500):
            expect_scores(f"alike({item}, ...)", model.alike(item, candidates), 4)


#: All rules, each a function of a factory and a seed; those first on which others rely.
CHECKS: tuple[Callable[[Factory, int], None], ...] = (
    observations_are_asked_for_in_order,
    scores_are_finite_and_one_for_each_candidate,
    scores_come_before_anything_is_learned,
    the_order_of_candidates_makes_no_difference,
    the_seed_is_the_only_randomness,
    scoring_changes_nothing,
    a_saved_state_is_a_copy,
    batches_make_no_difference,
    a_restored_model_goes_on_as_if_never_stopped,
    everything_may_be_withdrawn_and_rated_again,
    indices_may_jump,
    who_is_forgotten_was_never_there,
    who_comes_in_place_of_a_forgotten_one_is_new,
    an_item_may_leave_step_by_step,
    several_leave_as_one_after_the_other,
    everybody_may_be_forgotten,
    capabilities_agree_with_scores,
    evidence_is_finite_and_never_negative,
)
