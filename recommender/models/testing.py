"""The rules that every model must keep, as a function that checks a model of one's own.

``check_model(MyModel)`` drives a model as a shard drives it and raises an `AssertionError` that names the
broken rule. The models of this package are checked by the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.history.history import History
from recommender.models.base import (
    NEVER,
    Arrays,
    Estimates,
    IntArray,
    Model,
    ModelContext,
    RanksCatalog,
    RanksLeaders,
    RanksRepeats,
)
from recommender.models.driver import Driver
from recommender.models.reasons import Comparing, Profiling

#: Makes a new, empty model.
Factory = Callable[[ModelContext], Model]
#: A user, an item, a rating (NaN withdraws), its weight and its time.
Event = tuple[int, int, float, float, float]

_POSITIVE = 1.0
_USERS, _ITEMS = 12, 20


def check_model(make: Factory, seed: int = 0) -> None:
    """Check a model against all rules of `recommender.models.base.Model`.

    Parameters
    ----------
    make : callable
        Makes a new model from a `ModelContext`: the model's class, or a function where it has options.
    seed : int
        Of the random ratings that the model learns.

    Raises
    ------
    AssertionError
        A rule is broken; the message names the rule and how.

    Examples
    --------
    >>> from recommender.models.popular import PopularRecent
    >>> check_model(lambda context: PopularRecent(context, half_life=50.0))
    """
    for check in CHECKS:
        try:
            check(make, seed)
        except AssertionError as error:
            raise AssertionError(f"{check.__name__}: {error}") from None
        except Exception as error:
            what = f"the model raised {type(error).__name__}: {error}"
            raise AssertionError(f"{check.__name__}: {what}") from error


class Driven:
    """A history and a model on it, driven as a shard drives them."""

    def __init__(self, make: Factory, seed: int = 3) -> None:
        self.history = History(32)
        self.model = make(ModelContext(self.history, seed, _POSITIVE, (1.0, 5.0)))
        self._driver = Driver(self.history, [self.model], _POSITIVE)

    def learn(self, log: Sequence[Event], cuts: Sequence[int] = ()) -> Driven:
        """Learn a log, in one go or in pieces."""
        start = 0
        for stop in [*sorted(cuts), len(log)]:
            users, items, ratings, weights, times = (
                zip(*log[start:stop], strict=True) if stop > start else [()] * 5
            )
            self._driver.learn(
                np.array(users, np.int32),
                np.array(items, np.int32),
                np.array(ratings, np.float32),
                np.array(weights, np.float32),
                np.array(times, np.float64),
            )
            start = stop
        return self

    def forget_user(self, user: int) -> Driven:
        """Forget a user, as a shard does."""
        self._driver.forget_user(user)
        return self

    def forget_item(self, item: int) -> Driven:
        """Forget an item, as a shard does."""
        self._driver.forget_item(item)
        return self

    def withdraw(self, users: IntArray, item: int) -> Driven:
        """Let some users withdraw their ratings of an item."""
        self._driver.withdraw(users, np.full(len(users), item, np.int32))
        return self

    def withdraw_all(self, user: int) -> Driven:
        """Let a user withdraw all ratings."""
        items = self.history.items_of(user)
        self._driver.withdraw(np.full(len(items), user, np.int32), items)
        return self

    def state(self) -> Arrays:
        """The state of the model and of its history."""
        history = {f"history.{name}": array for name, array in self.history.state().items()}
        return history | self.model.state()

    def restored(self, make: Factory, seed: int = 3) -> Driven:
        """A new one with the same state."""
        other = Driven(make, seed)
        other.history.restore(self.history.state())
        other.model.restore(self.model.state())
        return other

    def scores(self, users: int = _USERS + 2, items: int = _ITEMS + 4) -> NDArray[np.float64]:
        """Scores of all items for all users, and for some that are unknown."""
        return np.array([self.model.score(user, _first(items)) for user in range(users)])


def random_log(count: int, seed: int, users: int = _USERS, items: int = _ITEMS) -> list[Event]:
    """Ratings, some of them repeated or withdrawn; indices appear in order."""
    rng = np.random.default_rng(seed)
    seen_users = seen_items = 0
    log: list[Event] = []
    for e in range(count):
        user = min(int(rng.integers(0, users)), seen_users)
        item = min(int(rng.zipf(1.4)) - 1, items - 1, seen_items)
        seen_users, seen_items = max(seen_users, user + 1), max(seen_items, item + 1)
        rating = float(rng.choice([1.0, 2.0, 3.0, 4.0, 5.0, math.nan]))
        log.append((user, item, rating, 0.0 if rating != rating else rating / 4, float(e // 3)))
    return log


def scores_are_finite_and_one_for_each_candidate(make: Factory, seed: int) -> None:
    """Known and unknown users and items get a finite float64 each, in any order and number."""
    model = Driven(make).learn(random_log(150, seed)).model
    for user in (0, 5, 13, 1000):
        for chosen in ([], [0], [3, 1, 2], [19, 20, 500], [2, 2]):
            candidates = np.array(chosen, np.int32)
            scores = model.score(user, candidates)
            _expect_scores(f"score({user}, {chosen})", scores, len(chosen))
            support = model.neighbours(user, candidates)
            assert support is None or (support.shape == scores.shape and (support >= 0).all()), (
                f"neighbours({user}, {chosen}) is {support!r}: expected None or a number of at least 0 for "
                "each candidate"
            )


def scores_come_before_anything_is_learned(make: Factory, seed: int) -> None:
    """A model that has learned nothing has finite scores."""
    _expect_scores("score(0, [0, 1, 2]) of a new model", Driven(make, seed).model.score(0, _first(3)), 3)


def the_order_of_candidates_makes_no_difference(make: Factory, seed: int) -> None:
    """A candidate scores the same wherever it stands among the candidates, but for rounding."""
    model = Driven(make).learn(random_log(150, seed)).model
    for user in range(_USERS):
        ascending = model.score(user, _first(_ITEMS))
        descending = model.score(user, _first(_ITEMS)[::-1].copy())[::-1]
        same = np.allclose(descending, ascending, rtol=1e-9, atol=1e-12)
        assert same, f"user {user} has scores {ascending.tolist()}, in descending order {descending.tolist()}"


def batches_make_no_difference(make: Factory, seed: int) -> None:
    """The state is the same to the bit however the log is cut into batches."""
    log = random_log(150, seed)
    whole = Driven(make).learn(log)
    for cuts in ((1, 2, 3), (75,), tuple(range(150))):
        pieces = Driven(make).learn(log, cuts)
        _expect_same(whole, pieces, f"a log learned at once, and cut at {str(cuts)[:30]}")


def a_restored_model_goes_on_as_if_never_stopped(make: Factory, seed: int) -> None:
    """`restore` of a `state` gives the same model to the bit, now and after more is learned."""
    log = random_log(160, seed)
    for stop in (0, 1, 80):
        driven = Driven(make).learn(log[:stop])
        restored = driven.restored(make)
        _expect_same(driven, restored, f"a model and its restored copy after {stop} events")
        driven.learn(log[stop:])
        restored.learn(log[stop:])
        _expect_same(driven, restored, f"a model, and a copy restored after {stop} events, after 160")


def scoring_changes_nothing(make: Factory, seed: int) -> None:
    """`score` and `neighbours` leave the model as it is."""
    log = random_log(150, seed)
    asked, never = Driven(make).learn(log[:100]), Driven(make).learn(log[:100])
    asked.scores()
    asked.model.neighbours(1, _first(5))
    _expect_equal(asked.state(), never.state(), "a model that was asked for scores, and one that was not")
    asked.learn(log[100:])
    never.learn(log[100:])
    _expect_same(
        asked, never, "a model that was asked for scores before it learned more, and one that was not"
    )


def a_saved_state_is_a_copy(make: Factory, seed: int) -> None:
    """Learning leaves what `state` gave before as it is."""
    log = random_log(120, seed)
    driven = Driven(make).learn(log[:60])
    saved = driven.model.state()
    before = {name: array.copy() for name, array in saved.items()}
    driven.learn(log[60:])
    _expect_equal(saved, before, "a saved state before and after more was learned")


def the_seed_is_the_only_randomness(make: Factory, seed: int) -> None:
    """Two models of one seed are equal to the bit, and numpy's global generator is left alone."""
    log = random_log(100, seed)
    before = str(np.random.get_state(legacy=False))  # noqa: NPY002
    first, second = Driven(make, seed=1).learn(log), Driven(make, seed=1).learn(log)
    _expect_same(first, second, "two models of one seed")
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


def who_is_forgotten_was_never_there(make: Factory, seed: int) -> None:
    """A user or an item that is forgotten scores as an unknown one; a copy restored then goes on alike.

    Where no two unknown ones score alike, as chance alone tells them apart, it is as in a new model.
    """
    log, candidates = random_log(150, seed), _first(_ITEMS)
    driven = Driven(make).learn(log).forget_user(3).forget_item(1).forget_item(_ITEMS + 3).forget_user(1000)
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
            _expect_same(driven, restored, "a model that has forgotten, and its restored copy")
            driven = restored
    other = Driven(make).learn(log, (40,)).forget_user(3).forget_item(1)
    others = [event for event in random_log(150, seed + 1) if event[0] != 3 and event[1] != 1]
    driven.learn(others, (30, 31))
    other.learn(others)
    _expect_same(driven, other, "a model that has forgotten, and one whose logs were cut in another way")


def who_comes_in_place_of_a_forgotten_one_is_new(make: Factory, seed: int) -> None:
    """An index that was forgotten may be learned again, and goes on as after a restart."""
    log = random_log(150, seed)
    again = random_log(120, seed + 1)
    driven = Driven(make).learn(log).forget_user(3).forget_item(1)
    restored = driven.restored(make)
    driven.learn(again)
    restored.learn(again, (7, 60))
    _expect_same(
        driven, restored, "an index that was forgotten and comes again, and the same after a restart"
    )
    assert np.isfinite(driven.scores()).all(), "scores are not finite after a forgotten index came again"


def _tells_strangers_apart(model: Model) -> bool:
    return model.score(1000, _first(_ITEMS)).tolist() != model.score(1001, _first(_ITEMS)).tolist()


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
    _expect_same(driven, other, "an item that left step by step, and the same cut in another way")
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
    _expect_same(driven, other, "users who were forgotten at once, and one after the other")


def everybody_may_be_forgotten(make: Factory, seed: int) -> None:
    """A model whose users and items are all forgotten knows nobody."""
    driven = Driven(make).learn(random_log(80, seed))
    for user in range(_USERS):
        driven.forget_user(user)
    for item in range(_ITEMS):
        driven.forget_item(item)
    scores = driven.scores()
    if _tells_strangers_apart(driven.model):
        assert (scores == Driven(make).scores()).all(), "scores are not those of a new model after all left"
    else:
        assert (scores == scores[0, 0]).all(), (
            f"scores are {scores.tolist()}: expected one value after all left"
        )


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
    """`leading`, `leading_but` and `estimate`, where there are any, say what `score` and `neighbours` say."""
    model = Driven(make).learn(random_log(150, seed)).model
    candidates = _first(_ITEMS)
    for user in (0, 5, 1000):
        scores = model.score(user, candidates)
        if isinstance(model, RanksLeaders):
            for n in (1, 3, _ITEMS, 100):
                positions, found = model.leading(user, candidates, n)
                bound = np.sort(scores)[-min(n, _ITEMS)]
                expected = np.flatnonzero(scores >= bound)
                assert positions.tolist() == expected.tolist(), (
                    f"leading({user}, ..., {n}) gives positions {positions.tolist()}: expected "
                    f"{expected.tolist()}"
                )
                assert found.tolist() == scores[expected].tolist(), f"leading({user}, ..., {n}): other scores"
        if isinstance(model, RanksCatalog):
            for n in (1, 3, _ITEMS, 100):
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
        if isinstance(model, RanksRepeats):
            _expect_scores(f"score_rated({user}, ...)", model.score_rated(user, candidates), _ITEMS)
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
            _expect_scores(f"score_profile of user {user}", evidence, 4)
            assert (evidence >= 0.0).all(), f"score_profile of user {user} is {evidence}: expected at least 0"
    if isinstance(model, Comparing):
        for item in (0, 7, 500):
            _expect_scores(f"alike({item}, ...)", model.alike(item, candidates), 4)


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


def _first(count: int) -> IntArray:
    return np.arange(count, dtype=np.int32)


def _expect_scores(what: str, scores: NDArray[np.float64], count: int) -> None:
    assert isinstance(scores, np.ndarray), f"{what} is a {type(scores).__name__}: expected a numpy array"
    assert scores.shape == (count,), f"{what} has shape {scores.shape}: expected ({count},)"
    assert scores.dtype == np.float64, f"{what} has dtype {scores.dtype}: expected float64"
    assert np.isfinite(scores).all(), f"{what} is {scores}: expected finite numbers"


def _expect_same(left: Driven, right: Driven, what: str) -> None:
    """Compare states, and the scores that come from them."""
    _expect_equal(left.state(), right.state(), what)
    assert left.scores().tobytes() == right.scores().tobytes(), f"{what}: scores differ"


def _expect_equal(left: Arrays, right: Arrays, what: str) -> None:
    assert left.keys() == right.keys(), f"{what}: arrays {sorted(left)} and {sorted(right)}"
    for name in left:
        one, other = left[name], right[name]
        assert one.dtype == other.dtype, f"{what}: array {name!r} is {one.dtype} and {other.dtype}"
        assert one.shape == other.shape, f"{what}: array {name!r} has shapes {one.shape} and {other.shape}"
        assert one.tobytes() == other.tobytes(), f"{what}: array {name!r} differs"
