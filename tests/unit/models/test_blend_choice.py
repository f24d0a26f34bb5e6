"""What a blend takes in of one choice equals what numpy makes of all rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models.base import FloatArray, IntArray, ModelContext
from recommender.models.blend.blend import Blend
from recommender.models.blend.blocks import BLOCK, exponentials, logarithms, room
from recommender.models.blend.choice import BELOW, BEST, observe_choice
from recommender.models.blend.features import ROWS
from recommender.models.blend.trials import DEPTH, FACTORS, FIRST_SQUARE, UNSCALED

positive = st.floats(1e-300, 1e300, allow_subnormal=False)


@given(st.lists(positive, min_size=1, max_size=BLOCK))
def test_logarithms_equal_the_librarys(values: list[float]) -> None:
    block, bits = room(2)
    block[0, : len(values)] = values
    logarithms(block, bits, 0, 1, len(values))
    expected = [math.log(value) for value in values]
    assert block[0, : len(values)] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(st.lists(st.floats(-1e6, 0.0), min_size=1, max_size=BLOCK))
def test_exponentials_equal_the_librarys(values: list[float]) -> None:
    block, bits = room(2)
    block[0, : len(values)] = values
    exponentials(block, bits, 0, 1, len(values))
    expected = [math.exp(max(value, -700.0)) for value in values]
    assert block[0, : len(values)] == pytest.approx(expected, rel=1e-12)


def grown() -> tuple[History, Blend]:
    rng = np.random.default_rng(3)
    history = History()
    model = Blend(ModelContext(history))
    pairs = list(dict.fromkeys((int(u), int(min(rng.zipf(1.3), 600))) for u in rng.integers(0, 60, 4000)))
    users, items = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    ones = np.ones(len(pairs), np.float32)
    model.learn(history.append(users, items, ones, ones, np.arange(len(pairs)) * 10.0))
    return history, model


def looked(
    model: Blend, candidates: IntArray, sample_weights: FloatArray, chosen: int,
    leads: FloatArray | None = None, squares: FloatArray | None = None,
) -> tuple[FloatArray, FloatArray, int, float]:  # fmt: skip
    trials = model.weights.trials
    features, sample_weights, place, ahead = observe_choice(
        model.popularity.table,
        model.popularity.now,
        candidates,
        sample_weights,
        model.neighbourhood.sums(model.neighbourhood.profile(7), model.popularity.items),
        chosen,
        5,
        model.weights.ranker.weights(-1),
        trials.first,
        trials.last,
        trials.keep,
        trials.leads.copy() if leads is None else leads,
        trials.squares.copy() if squares is None else squares,
        *room(ROWS),
    )
    return features, sample_weights, int(place), float(ahead)


def test_every_factor_gains_by_its_rank() -> None:
    history, model = grown()
    candidates = np.setdiff1d(np.arange(history.item_count), history.rated(7)[0]).astype(np.int32)
    features, trials = model.features(7, candidates), model.weights.trials
    weights = model.weights.ranker.weights(-1)
    rankings = []
    for factor in FACTORS.tolist():
        rankings.append(weights.copy())
        rankings[-1][trials.first : trials.last] *= factor
    # Leave the exactly level ones of the mixtures to no rounding: all rows differ in some feature.
    for chosen in (0, 40, len(candidates) - 1):
        ranks = []
        for ranking in rankings:
            scores = features @ ranking
            ranks.append(float((scores > scores[chosen] + 1e-9).sum()))
        gains = np.array([1.0 / math.log2(rank + 2.0) if rank < DEPTH else 0.0 for rank in ranks])
        leads, squares = np.linspace(0.0, 3.0, len(rankings)), np.linspace(1.0, 2.0, len(rankings))
        expected = leads * trials.keep + (gains - gains[0])
        expected_squares = (
            squares * trials.keep + (1.0 - trials.keep) * FIRST_SQUARE + (gains - gains[0]) ** 2
        )
        *_, ahead = looked(model, candidates, np.ones(len(candidates)), chosen, leads, squares)
        assert ahead == ranks[UNSCALED]
        assert leads == pytest.approx(expected)
        assert squares == pytest.approx(expected_squares)


def test_the_rows_are_the_best_a_part_of_the_others_and_the_chosen_one() -> None:
    history, model = grown()
    candidates = np.setdiff1d(np.arange(history.item_count), history.rated(7)[0]).astype(np.int32)
    count = len(candidates)
    assert count > 2 * (BEST + BELOW), "too few items to leave any out"
    everything = model.features(7, candidates)
    scores = everything @ model.weights.ranker.weights(-1)
    best = np.argsort(-scores, kind="stable")[:BEST]
    for chosen in (int(best[0]), int(np.argmin(scores))):
        features, sample_weights, place, _ = looked(model, candidates, np.ones(count), chosen)
        assert len(features) <= BEST + BELOW + 1
        assert features[place] == pytest.approx(everything[chosen])
        assert sample_weights.sum() == pytest.approx(count, rel=0.25)
        top = np.sort(scores[best])
        assert np.sort(features @ model.weights.ranker.weights(-1))[-BEST:] == pytest.approx(top)
        assert (sample_weights == 1.0).sum() == BEST


def test_a_short_list_is_taken_in_as_a_whole() -> None:
    _, model = grown()
    candidates = np.arange(BEST, dtype=np.int32)
    features, sample_weights, place, _ = looked(model, candidates, np.full(BEST, 2.0), 9)
    assert features == pytest.approx(model.features(7, candidates))
    assert sample_weights.tolist() == [2.0] * BEST
    assert place == 9
