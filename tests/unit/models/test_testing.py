"""`check_model` passes a model that keeps the rules, and names the rule that another breaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.sequence.sequence_knn import Profile
from recommender.models.testing import CHECKS, check_model


class Counting(Model):
    """How often an item was rated: a model that keeps the rules."""

    def __init__(self, context: ModelContext) -> None:
        self.context = context
        self.counts = np.zeros(1000)

    def learn(self, events: Events) -> None:
        np.add.at(self.counts, events.items, 1.0)

    def forget_item(self, item: int) -> None:
        self.counts[item] = 0.0

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        scores: FloatArray = self.counts[candidates]
        return scores

    def state(self) -> Arrays:
        return {"counts": self.counts.copy()}

    def restore(self, state: Arrays) -> None:
        self.counts = state["counts"].astype(np.float64)


class Infinite(Counting):
    def score(self, user: int, candidates: IntArray) -> FloatArray:
        return np.where(self.counts[candidates] > 0.0, self.counts[candidates], -np.inf)


class NoneYet(Counting):
    def score(self, user: int, candidates: IntArray) -> FloatArray:
        return self.counts[candidates] if self.counts.any() else np.zeros(0)


class Ranking(Counting):
    def score(self, user: int, candidates: IntArray) -> FloatArray:
        return super().score(user, candidates) + np.arange(len(candidates))


class ByBatch(Counting):
    def learn(self, events: Events) -> None:
        self.counts[events.items] += 1.0


class Forgetful(Counting):
    def restore(self, state: Arrays) -> None:
        super().restore(state)
        self.counts[0] = 0.0


class Asked(Counting):
    def score(self, user: int, candidates: IntArray) -> FloatArray:
        self.counts[999] += 1.0
        return super().score(user, candidates)


class Shared(Counting):
    def state(self) -> Arrays:
        return {"counts": self.counts}

    def restore(self, state: Arrays) -> None:
        self.counts = state["counts"].astype(np.float64).copy()


class Global(Counting):
    def learn(self, events: Events) -> None:
        super().learn(events)
        np.random.random()  # noqa: NPY002


class Chance(Counting):
    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        self.counts[0] = np.random.default_rng().random()


class Backwards(Counting):
    def next_observation(self, event: int) -> int:
        return event // 2


class Unsteady(Counting):
    def next_observation(self, event: int) -> int:
        return event + 1


class WrongLeaders(Counting):
    def leading(self, user: int, candidates: IntArray, n: int) -> tuple[NDArray[np.intp], FloatArray]:
        chosen = np.arange(min(n, len(candidates)))
        return chosen, self.score(user, candidates[chosen])


class WrongEstimates(Counting):
    def estimate(self, user: int, candidates: IntArray) -> tuple[FloatArray, IntArray]:
        return self.score(user, candidates), np.ones(len(candidates), np.int32)


class NegativeEvidence(Counting):
    longest_profile = 20

    def profile(self, user: int) -> Profile:
        return Profile(user, np.zeros(1, np.int32), np.ones(1))

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        return -np.ones(len(candidates))


class Divides(Counting):
    """Shares of the ratings that stand, also where none does."""

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        standing = np.float64(self.context.history.item_counts.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            shares: FloatArray = self.counts[candidates] / standing
        return shares if self.counts.any() else np.zeros(len(candidates))


class Gapless(Counting):
    """It wants items in the order of their indices."""

    def learn(self, events: Events) -> None:
        highest = np.flatnonzero(self.counts).max(initial=-1)
        for item in events.items.tolist():
            if item > highest + 1:
                raise KeyError(item)
            highest = max(highest, item)
        super().learn(events)


class Remembers(Counting):
    def forget_item(self, item: int) -> None:
        pass


class Grudging(Counting):
    """Who was forgotten once is never counted again, until a restart."""

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context)
        self.gone: set[int] = set()

    def forget_item(self, item: int) -> None:
        super().forget_item(item)
        self.gone.add(item)

    def learn(self, events: Events) -> None:
        super().learn(events)
        self.counts[list(self.gone)] = 0.0


class InBulk(Counting):
    """It knows how many withdrawals came with others."""

    def learn(self, events: Events) -> None:
        super().learn(events)
        if len(events.items) and np.isnan(events.ratings).all():
            self.counts[998] += len(events.items) - 1


class Hasty(Counting):
    """It knows how many were forgotten with others."""

    def forget_users(self, users: IntArray) -> None:
        self.counts[997] += len(users) - 1


class Lonely(Counting):
    def forget_item(self, item: int) -> None:
        super().forget_item(item)
        if not self.counts.any():
            self.counts[7] = 1.0


BROKEN = {
    Infinite: "scores_are_finite_and_one_for_each_candidate",
    NoneYet: "scores_come_before_anything_is_learned",
    Ranking: "the_order_of_candidates_makes_no_difference",
    ByBatch: "batches_make_no_difference",
    Forgetful: "a_restored_model_goes_on_as_if_never_stopped",
    Asked: "scoring_changes_nothing",
    Shared: "a_saved_state_is_a_copy",
    Global: "the_seed_is_the_only_randomness",
    Chance: "the_seed_is_the_only_randomness",
    Divides: "everything_may_be_withdrawn_and_rated_again",
    Gapless: "indices_may_jump",
    Remembers: "who_is_forgotten_was_never_there",
    Grudging: "who_comes_in_place_of_a_forgotten_one_is_new",
    InBulk: "an_item_may_leave_step_by_step",
    Hasty: "several_leave_as_one_after_the_other",
    Lonely: "everybody_may_be_forgotten",
    Backwards: "observations_are_asked_for_in_order",
    Unsteady: "observations_are_asked_for_in_order",
    WrongLeaders: "capabilities_agree_with_scores",
    WrongEstimates: "capabilities_agree_with_scores",
    NegativeEvidence: "evidence_is_finite_and_never_negative",
}


def test_a_model_that_keeps_the_rules_passes() -> None:
    check_model(Counting)


@pytest.mark.parametrize(("broken", "rule"), BROKEN.items())
def test_a_broken_rule_is_named(broken: Any, rule: str) -> None:
    with pytest.raises(AssertionError, match=f"^{rule}: "):
        check_model(broken)


def test_there_is_a_broken_model_for_every_rule() -> None:
    assert set(BROKEN.values()) == {check.__name__ for check in CHECKS}


def test_a_message_says_what_differs() -> None:
    with pytest.raises(AssertionError, match=r"batches.*cut at \(1, 2, 3\): array 'counts' differs"):
        check_model(ByBatch)
    with pytest.raises(AssertionError, match=r"score\(0, \[19, 20, 500\]\) is .*expected finite numbers"):
        check_model(Infinite)
    with pytest.raises(AssertionError, match=r"indices_may_jump: the model raised KeyError: 5"):
        check_model(Gapless)
    with pytest.raises(AssertionError, match=r"next_observation\(1\) is 0: expected at least 1"):
        check_model(Backwards)


def test_a_missing_method_is_named() -> None:
    class Unfinished(Model):
        def learn(self, events: Events) -> None:
            pass

    with pytest.raises(
        AssertionError, match=r"raised TypeError: .* abstract methods '?restore'?, '?score'?, '?state'?"
    ):
        check_model(lambda context: Unfinished())  # type: ignore[abstract]
