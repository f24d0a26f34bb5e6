"""The best of a catalogue that is not scored as a whole equal the best of one that is, to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.history.events import Events
from recommender.history.history import History
from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.models.base import FloatArray, IntArray, ModelContext, Passing
from recommender.models.blend import features
from recommender.models.blend.blend import MANY, UNMARKED, Blend
from recommender.models.blend.blocks import room
from recommender.models.blend.filtered import Filters
from recommender.models.blend.popularity import LATELY, totals_without
from recommender.models.blend.trials import ALONE
from recommender.models.blend.weights import context_of
from recommender.models.topk import all_but, best, leading
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

USERS = 150
BLOCK = room(features.ROWS)


def asked_in_part(history: History, marked: bool = True) -> Blend:
    """A model that finds the best without scoring all items even where there are few.

    Of which items neighbours speak is `marked` at once or found out afterwards.
    """
    model = Blend(ModelContext(history))
    model.many = 0
    model.unmarked = 0 if marked else UNMARKED
    return model


def events(rng: np.random.Generator, count: int, items: int, flat: bool) -> tuple[np.ndarray, ...]:
    """Events of all kinds: positive, weak, negative, withdrawn; of items that are equally popular or not."""
    drawn = rng.integers(0, items, count) if flat else rng.pareto(0.7, count) * items / 50
    ratings = rng.choice([1.0, 0.5, 0.0, -1.0, np.nan], count, p=[0.6, 0.2, 0.05, 0.05, 0.1])
    chosen = np.minimum(drawn, items - 1).astype(np.int32)
    return rng.integers(0, USERS, count).astype(np.int32), chosen, ratings.astype(np.float32)


def learn(history: History, model: Blend, columns: tuple[np.ndarray, ...], begin: int) -> Events:
    users, items, ratings = columns
    times = np.arange(begin, begin + len(users)) * 10.0
    learned = history.append(users, items, ratings, ratings, times)
    model.learn(learned)
    return learned


def assert_same(history: History, model: Blend, user: int, without: IntArray, n: int) -> None:
    candidates = all_but(without, history.item_count)
    places, scores = leading(model.score(user, candidates), n)
    found, theirs = model.leading_but(user, without, n)
    assert found.tolist() == candidates[places].tolist()
    assert theirs.tolist() == scores.tolist()
    everything = model.score(user, candidates)
    for place in np.linspace(0, len(candidates) - 1, 4).astype(np.int64).tolist() if len(candidates) else []:
        expected = (everything > everything[place]).sum(), (everything == everything[place]).sum()
        assert model.ahead_of(user, int(candidates[place]), without) == expected
    everything = model.score(user, candidates)
    for place in np.linspace(0, len(candidates) - 1, 4).astype(np.int64).tolist() if len(candidates) else []:
        expected = (everything > everything[place]).sum(), (everything == everything[place]).sum()
        assert model.ahead_of(user, int(candidates[place]), without) == expected


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.sampled_from([40, 600, 9000]),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_same_are_found_as_if_all_were_scored(
    seed: int, items: int, runs: int, flat: bool, strange: bool, marked: bool
) -> None:
    rng = np.random.default_rng(seed)
    history = History()
    model, done = asked_in_part(history, marked), 0
    for _ in range(runs):
        columns = events(rng, int(rng.integers(1, 4000)), items, flat)
        model.observe(int(columns[0][0]), int(columns[1][0]), 1.0)
        learn(history, model, columns, done)
        done += len(columns[0])
        if strange:
            # Whatever weights may ever be learned, and popular items may count against a candidate.
            model.weights.applied = {
                context: rng.normal(0.0, 0.7, len(features.FEATURES)) for context in (-1, 0, 1)
            }
            # A single feature may be all that counts.
            model.weights.applied[0][rng.choice(features.SINGLES)] += ALONE
            model.weights.applied[-1][rng.choice(features.SINGLES)] += ALONE * rng.integers(0, 2)
        for _ in range(3):
            user = int(rng.integers(0, USERS + 2))
            excluded = rng.integers(0, items + 5, int(rng.integers(0, 30))).astype(np.int32)
            without = np.concatenate([history.items_of(user), excluded])
            if rng.random() < 0.2:
                # Many, in order, as a filter leaves them out.
                without = np.flatnonzero(rng.random(items + 5) < 0.45).astype(np.int32)
            assert_same(history, model, user, without, int(rng.integers(1, 30)))
        if rng.random() < 0.2:
            again = asked_in_part(history, marked)
            again.restore(model.state())
            model = again


def scored_among(
    history: History, model: Blend, user: int, passing: Passing, without: IntArray
) -> FloatArray:
    """Scores of all that pass and are not in `without`, relative to their totals; of all others -infinity."""
    popularity, items = model.popularity, history.item_count
    keep = passing.mask[:items].copy()
    keep[without[without < items]] = False
    candidates = np.flatnonzero(keep).astype(np.int32)
    left = np.empty(LATELY)
    totals = Filters().of(passing, items, popularity, BLOCK).totals  # of one that nobody asked for before
    more = np.unique(without[without < items])
    more = more[passing.mask[more]]
    totals_without(popularity.table, popularity.now, more, totals, *BLOCK, left)
    sums = model.neighbourhood.sums(model.neighbourhood.profile(user), popularity.items)
    views, scales = np.empty((features.VIEWS, len(candidates))), np.empty(features.VIEWS + 3)
    size, now, scores = float(len(candidates)), popularity.now, np.empty(len(candidates))
    features.survey_most(popularity.table, now, candidates, size, left, sums, *BLOCK, views, scales)
    weights = model.weights.of(context_of(history, user))
    features.weigh(popularity.table, now, candidates, views, scales, weights, *BLOCK, scores)
    found: FloatArray = np.full(items, -np.inf)
    found[candidates] = scores
    return found


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.sampled_from([40, 600, 9000]),
    st.floats(0.02, 1.0),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_the_same_pass_a_filter_as_if_all_were_scored(
    seed: int, items: int, share: float, flat: bool, strange: bool, marked: bool
) -> None:
    rng = np.random.default_rng(seed)
    history = History()
    model, done = asked_in_part(history, marked), 0
    for _ in range(4):
        columns = events(rng, int(rng.integers(1, 4000)), items, flat)
        learn(history, model, columns, done)
        done += len(columns[0])
        if strange:
            model.weights.applied = {
                context: rng.normal(0.0, 0.7, len(features.FEATURES)) for context in (-1, 0, 1)
            }
        mask = rng.random(history.item_count + 7) < share
        few = bool(2 * np.count_nonzero(mask[: history.item_count]) < history.item_count)
        listed = np.flatnonzero(mask[: history.item_count] == few).astype(np.int32)
        passing = Passing(mask, listed, few)
        for _ in range(3):
            user, n = int(rng.integers(0, USERS + 2)), int(rng.integers(1, 12))
            excluded = rng.integers(0, items + 5, int(rng.integers(0, 30))).astype(np.int32)
            without = np.concatenate([history.items_of(user), excluded])
            expected = scored_among(history, model, user, passing, without)
            found, scores = model.leading_but(user, without, n, passing)
            possible = np.flatnonzero(expected > -np.inf).astype(np.int32)
            everything = model.score(user, possible)
            if n < len(possible) // 4 and 2 * len(possible) >= passing.size(history.item_count):
                places, best_scores = leading(expected[possible], n)
                assert expected[possible] == pytest.approx(everything, rel=1e-6, abs=1e-6)
            else:
                places, best_scores = leading(everything, n)
            assert found.tolist() == possible[places].tolist()
            assert scores.tolist() == best_scores.tolist()
        assert not any(each.any() for each in model.marks[:4])
        if rng.random() < 0.2:
            again = asked_in_part(history, marked)
            again.restore(model.state())
            model = again


def test_a_filter_that_lets_nothing_known_pass_leaves_nothing() -> None:
    history = History()
    model = asked_in_part(history)
    learn(history, model, events(np.random.default_rng(1), 5000, 300, flat=False), 0)
    mask, nothing = np.zeros(history.item_count, np.bool_), np.zeros(0, np.int32)
    found, scores = model.leading_but(5, nothing, 10, Passing(mask, nothing, True))
    assert (found.tolist(), scores.tolist()) == ([], [])


def test_an_item_that_nobody_has_rated_is_found_once() -> None:
    history = History()
    model = asked_in_part(history)
    # Item 0 has never been rated, and the item of event 0 again since.
    rated = [1, *range(1, 40)]
    users, items = np.zeros(40, np.int32), np.array(rated, np.int32)
    learn(history, model, (users, items, np.ones(40, np.float32)), 0)
    # By these weights it is the best of all.
    model.weights.applied = {context: np.full(len(features.FEATURES), -1.0) for context in (-1, 0, 1)}
    assert_same(history, model, 1, np.zeros(0, np.int32), 5)


def test_items_that_rest_for_long_are_found() -> None:
    rng = np.random.default_rng(4)
    history = History()
    model, done = asked_in_part(history), 0
    for part in range(12):
        # Each part has items of its own, so those of the first ones fade away.
        users, items, ratings = events(rng, 30_000, 2_000, flat=False)
        learn(history, model, (users, items + 500 * part, ratings), done)
        done += len(users)
        for user in (3, USERS):
            assert_same(history, model, user, history.items_of(user), 10)


def test_nobody_has_rated_anything() -> None:
    model = asked_in_part(History())
    assert [each.tolist() for each in model.leading_but(0, np.zeros(0, np.int32), 10)] == [[], []]


def test_nothing_is_left_of_a_request() -> None:
    history = History()
    model = asked_in_part(history)
    learn(history, model, events(np.random.default_rng(1), 5000, 300, flat=False), 0)
    model.leading_but(5, history.items_of(5), 10)
    assert not any(each.any() for each in model.marks[:4])


def grown(cuts: list[int]) -> tuple[History, Blend]:
    users, items, ratings = events(np.random.default_rng(2), 6000, 250, flat=False)
    history = History()
    model = asked_in_part(history)
    for begin, end in zip([0, *cuts], [*cuts, 6000], strict=True):
        learn(history, model, (users[begin:end], items[begin:end], ratings[begin:end]), begin)
    return history, model


def test_totals_are_those_of_all_items_however_events_came() -> None:
    history, model = grown([])
    everything = np.arange(history.item_count, dtype=np.int32)
    nothing = np.zeros((len(everything), 2))
    views, scales = np.empty((features.VIEWS, len(everything))), np.empty(features.VIEWS + 3)
    left = np.empty(LATELY)
    features.survey(model.popularity.table, 6000.0, everything, np.empty(0), nothing, *BLOCK, views, scales)
    totals_without(model.popularity.table, 6000.0, everything, model.popularity.totals, *BLOCK, left)
    assert model.popularity.totals == pytest.approx(views[-LATELY:].sum(axis=1), rel=1e-9)
    assert left == pytest.approx(1e-6 * model.popularity.totals)
    for cuts in ([1, 2, 3], [777, 3000], list(range(50, 6000, 50))):
        assert grown(cuts)[1].popularity.totals.tolist() == model.popularity.totals.tolist()


def scored_directly(history: History, model: Blend, user: int, candidates: IntArray) -> FloatArray:
    """Normalised by the candidates themselves, without any totals."""
    sums = model.neighbourhood.sums(model.neighbourhood.profile(user), model.popularity.items)
    views, scales = np.empty((features.VIEWS, len(candidates))), np.empty(features.VIEWS + 3)
    now, scores = model.popularity.now, np.empty(len(candidates))
    features.survey(model.popularity.table, now, candidates, np.empty(0), sums, *BLOCK, views, scales)
    weights = model.weights.of(context_of(history, user))
    features.weigh(model.popularity.table, now, candidates, views, scales, weights, *BLOCK, scores)
    return scores


def test_what_most_items_are_normalised_by_is_what_they_come_to() -> None:
    history, model = grown([])
    for user in (0, 9, USERS):
        for share in (2, 3, 10):
            # In any order, and with some that are yet to come.
            candidates = np.arange(history.item_count + 3, dtype=np.int32)[::-1]
            candidates = candidates[candidates % share != 0].copy()
            expected = scored_directly(history, model, user, candidates)
            assert model.score(user, candidates) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"exclude": [str(item) for item in range(0, 900, 3)]}, {"n": 50}])
@pytest.mark.parametrize("include_rated", [False, True])
@pytest.mark.parametrize("sold_out", [0, 5])
def test_a_request_gets_the_list_that_all_scores_would_give(
    options: dict[str, Any], include_rated: bool, sold_out: int
) -> None:
    shard = Shard(ShardOptions(model="blend", feedback=Feedback.parse("positive:1"), test_every=0))
    users, items, _ = events(np.random.default_rng(8), 9000, 6000, flat=False)
    everything = [("u0", str(item), 5.0) for item in range(MANY + 100)]
    everything += [(f"u{user}", str(item), 5.0) for user, item in zip(users, items, strict=True)]
    shard.learn([Rating(*each, None) for each in everything], np.arange(len(everything), dtype=np.float64))
    history, model, store = shard.history, shard.model, ItemStore()
    assert isinstance(model, Blend)
    hidden = list(range(0, MANY, sold_out)) if sold_out else []
    for item in hidden:
        store.put(str(item), ItemInfo(available=False))
    for name in ("u1", "u77", "nobody"):
        request = Request(user=name, include_rated=include_rated, **options)
        user = shard.users.find(name)
        index = history.user_count if user is None else user
        without = [int(shard.items.find(str(each)) or 0) for each in [*request.exclude, *hidden]]
        without += [] if include_rated else history.items_of(index).tolist()
        candidates = all_but(np.array(without, np.int32), history.item_count)
        score = model.score_rated if include_rated else model.score
        scores = score(index, candidates)
        order = best(scores, history.counts_of(candidates), request.n)
        expected = [(shard.items.id_of(int(candidates[place])), float(scores[place])) for place in order]
        assert [(each.item, each.score) for each in shard.recommend(request, store=store).items] == expected
