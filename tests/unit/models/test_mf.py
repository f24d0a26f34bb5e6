"""FluRS' rule, the adaptive rate and the negatives of `mf` equal a naive loop, and do what they are for."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import Arrays, ModelContext
from recommender.models.factors.mf import MF
from recommender.models.options import ModelError
from recommender.models.testing import random_log
from tests.unit.history.test_history import Log, columns

#: FluRS' rule as options; what a test names is put on top.
FLURS: dict[str, Any] = {"learn_rate": 0.003, "rank": "distance", "rate": "constant", "negatives": 0}
OPTIONS: list[dict[str, Any]] = [
    {"rate": "adagrad"},
    {"negatives": 4},
    {"rate": "adagrad", "negatives": 3},
    {"rate": "adagrad", "negatives": 1, "l2_reg": 0.0},
]
WORD = 2**64


def made(seed: int = 5, **options: Any) -> tuple[MF, History]:
    history = History()
    return MF(ModelContext(history, seed), **{**FLURS, **options}), history


def learned(log: Log, seed: int = 5, **options: Any) -> MF:
    model, history = made(seed, **options)
    model.learn(history.append(*columns(log)))
    return model


def splitmix(key: int, place: int) -> int:
    """SplitMix64's output for the state after `place` + 1 steps from `key`, in whole numbers."""
    z = (key + (place + 1) * 0x9E3779B97F4A7C15) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def naive_draws(seed: int, event: int, item: int, items: int, negatives: int) -> list[int]:
    """Items other than `item`, in the order 1, 2, 3, ... after it, around the end."""
    key = splitmix(splitmix(seed, 3), event)
    others = [*range(item + 1, items), *range(item)]
    return [others[splitmix(key, n) % len(others)] for n in range(negatives if others else 0)]


class NaiveMF:
    """The rule of the module, one factor of one step at a time."""

    def __init__(self, users: Any, items: Any, seed: int, **options: Any) -> None:
        self.users: list[list[float]] = users.tolist()
        self.items: list[list[float]] = items.tolist()
        self.user_squares = [[0.0] * len(row) for row in self.users]
        self.item_squares = [[0.0] * len(row) for row in self.items]
        self.seed = seed
        self.rate, self.l2 = options["learn_rate"], options.get("l2_reg", 0.01)
        self.adaptive, self.negatives = options.get("rate") == "adagrad", options.get("negatives", 0)

    def learn(self, log: Log) -> None:
        known = 0
        for event, (user, item, rating, weight, _) in enumerate(log):
            known = max(known, item + 1)
            if math.isnan(rating) or weight < 1.0:
                continue
            self.step(user, item, 1.0)
            for other in naive_draws(self.seed, event, item, known, self.negatives):
                self.step(user, other, 0.0)

    def step(self, user: int, item: int, target: float) -> None:
        p, q = self.users[user], self.items[item]
        error = target - sum(a * b for a, b in zip(p, q, strict=True))
        to_p = [2 * (error * b - self.l2 * a) for a, b in zip(p, q, strict=True)]
        to_q = [2 * (error * a - self.l2 * b) for a, b in zip(p, q, strict=True)]
        self.move(p, to_p, self.user_squares[user])
        self.move(q, to_q, self.item_squares[item])

    def move(self, vector: list[float], gradient: list[float], squares: list[float]) -> None:
        for f, g in enumerate(gradient):
            squares[f] += g * g
            vector[f] += self.rate * g / (math.sqrt(squares[f]) + 1e-8 if self.adaptive else 1.0)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("k", [1, 8, 11])
def test_factors_equal_a_naive_loop(options: dict[str, Any], k: int) -> None:
    log = random_log(500, seed=21)
    options = {"k": k, "learn_rate": 0.05, **options}
    model, history = made(**options)
    events = history.append(*columns(log))
    model.register(0, max(event[0] for event in log) + 1)
    start_users = model.user_factors.copy()
    start = learned([(0, 19, 1.0, 0.0, 0.0)], **options)
    naive = NaiveMF(start_users, start.item_factors, 5, **options)
    naive.learn(log)
    model.learn(events)
    items = len(model.item_factors)
    np.testing.assert_allclose(model.user_factors, naive.users, rtol=0, atol=1e-9)
    np.testing.assert_allclose(model.item_factors, naive.items[:items], rtol=0, atol=1e-9)
    assert np.abs(model.item_factors - start.item_factors[:items]).max() > 0.01
    if "rate" in options:
        for saved, expected in (("user_squares", naive.user_squares), ("item_squares", naive.item_squares)):
            squares = np.array(model.state()[saved], np.float64)
            np.testing.assert_allclose(squares, np.array(expected)[: len(squares)], rtol=1e-9, atol=1e-9)


def test_by_default_it_is_not_flurs_rule() -> None:
    log = random_log(300, seed=22)
    plain, named = learned(log), learned(log, rate="constant", negatives=0)
    assert sorted(plain.state()) == ["items", "users"]
    assert plain.item_factors.tobytes() == named.item_factors.tobytes()
    for options in OPTIONS:
        assert plain.item_factors.tobytes() != learned(log, **options).item_factors.tobytes()
    good: dict[str, Any] = {"rate": "adagrad", "negatives": 20, "learn_rate": 0.1, "rank": "prediction"}
    spec = "/".join(["mf", *(f"{option}={value}" for option, value in good.items())])
    assert registry.canonical(spec) == "mf"
    history = History()
    model = MF(ModelContext(history, 5))
    model.learn(history.append(*columns(log)))
    assert_same(model.state(), learned(log, **good).state())


def test_the_first_adaptive_step_is_as_long_as_the_rate() -> None:
    before = learned([(0, 0, 1.0, 0.0, 0.0)], rate="adagrad", learn_rate=0.02)
    after = learned([(0, 0, 1.0, 1.0, 0.0)], rate="adagrad", learn_rate=0.02)
    steps = np.abs(after.user_factors - before.user_factors)
    assert steps == pytest.approx(np.full((1, 40), 0.02), rel=1e-4)
    assert np.abs(learned([(0, 0, 1.0, 1.0, 0.0)] * 9, rate="adagrad").item_factors).max() < 1.0


def test_negatives_are_each_other_item_equally_often() -> None:
    counts = Counter(
        other
        for event in range(4000)
        for other in naive_draws(seed=1, event=event, item=3, items=9, negatives=2)
    )
    assert sorted(counts) == [0, 1, 2, 4, 5, 6, 7, 8]
    # 1,000 of each are expected; the standard deviation is 30.
    assert all(abs(count - 1000) < 150 for count in counts.values())


def test_a_single_item_has_no_negatives() -> None:
    log: Log = [(0, 0, 1.0, 1.0, 0.0)]
    assert learned(log, negatives=7).item_factors.tobytes() == learned(log).item_factors.tobytes()


def test_items_of_later_events_are_not_drawn() -> None:
    log: Log = [(0, 0, 1.0, 1.0, 0.0), (0, 1, 1.0, 1.0, 1.0), (1, 400, 1.0, 0.0, 2.0)]
    model, untaught = learned(log, negatives=50), learned([(1, 400, 1.0, 0.0, 2.0)])
    assert model.item_factors[2:].tobytes() == untaught.item_factors[2:].tobytes()
    assert (model.item_factors[:2] != untaught.item_factors[:2]).all()


def test_draws_depend_on_the_seed_and_on_the_number_of_the_event() -> None:
    def change(seed: int, skipped: int) -> list[bool]:
        nothing: Log = [(0, 99, 1.0, 0.0, 0.0)] * (skipped + 1)
        before = learned(nothing, seed, negatives=5).item_factors
        after = learned([*nothing, (0, 3, 1.0, 1.0, 0.0)], seed, negatives=5).item_factors
        return (before != after).any(axis=1).tolist()

    assert change(1, 0) == change(1, 0)
    assert change(1, 0) != change(1, 1)
    assert change(1, 0) != change(2, 0)
    assert change(-1, 0) != change(1, 0)


@settings(max_examples=30)
@given(
    count=st.integers(1, 120),
    cuts=st.sets(st.integers(1, 119), max_size=8),
    negatives=st.integers(0, 5),
    rate=st.sampled_from(["constant", "adagrad"]),
    seed=st.integers(0, 2**63),
)
def test_cuts_and_restarts_make_no_difference(
    count: int, cuts: set[int], negatives: int, rate: str, seed: int
) -> None:
    log = random_log(count, seed=23)
    options = {"k": 3, "rate": rate, "negatives": negatives, "learn_rate": 0.1}
    whole = learned(log, seed, **options)
    model, history = made(seed, **options)
    places = [0, *sorted(cut for cut in cuts if cut < count), count]
    for start, stop in pairwise(places):
        model.learn(history.append(*columns(log[start:stop])))
        saved, (model, _) = model.state(), made(seed, **options)
        model.restore(saved)
    assert_same(whole.state(), model.state())


def assert_same(left: Arrays, right: Arrays) -> None:
    assert left.keys() == right.keys()
    assert all(left[name].tobytes() == right[name].tobytes() for name in left)


def test_negatives_and_the_adaptive_rate_learn_two_tastes() -> None:
    rng = np.random.default_rng(2)
    log: Log = []
    for time in range(3000):
        user = int(rng.integers(40))
        log.append((user, int(rng.integers(20)) * 2 + user % 2, 1.0, 1.0, float(time)))
    everything = np.arange(40, dtype=np.int32)

    def right(model: MF) -> float:
        scores = np.array([model.score(user, everything) for user in range(40)])
        even = scores[:, ::2].mean(axis=1) > scores[:, 1::2].mean(axis=1)
        return float((even == (np.arange(40) % 2 == 0)).mean())

    model = learned(log, rate="adagrad", negatives=5, learn_rate=0.1)
    assert right(model) > 0.95
    assert np.abs(model.item_factors).max() < 10.0
    assert right(learned(log)) < 0.9


@pytest.mark.parametrize("rate", ["constant", "adagrad"])
def test_scores_stay_finite_at_the_longest_steps(rate: str) -> None:
    log: Log = [(0, time % 5, 1.0, 1.0, float(time)) for time in range(2000)]
    with np.errstate(all="raise"):
        model = learned(log, rate=rate, negatives=10, learn_rate=1.0, l2_reg=1.0)
    assert np.isfinite(model.score(0, np.arange(7, dtype=np.int32))).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mf/rate=fast", "model mf: rate has value 'fast': expected one of constant, adagrad"),
        ("mf/negatives=-1", "model mf: negatives has value -1: must be between 0 and 1000"),
        ("mf/negatives=1001", "model mf: negatives has value 1001: must be between 0 and 1000"),
        ("mf/negatives=1.5", "model mf: negatives has value '1.5': not an integer"),
        ("mf/rates=adagrad", "unknown option of mf: 'rates'; did you mean 'rate'?"),
    ],
)
def test_what_is_wrong_with_an_option(spec: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        registry.check(spec)
    assert str(caught.value).startswith(message)
