"""What users take again: counted as naively, likely as the gate says, and nobody else's business."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.evaluation.prequential import evaluate
from recommender.evaluation.rank_metrics import recall, reciprocal_rank
from recommender.evaluation.streams import Stream
from recommender.history.history import History
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.models.base import ModelContext
from recommender.models.blend.blend import Blend
from recommender.models.blend.repeated_pairs import FEATURES, LENGTHS, count_times, empty_pairs, with_room
from recommender.models.blend.sample import Budget
from recommender.models.testing import Driven
from recommender.models.testing import Event as Rated
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

#: User, item and rating; NaN withdraws.
Event = tuple[int, int, float]


def learned(events: list[Event], cuts: list[int], look: bool = True) -> tuple[History, Blend]:
    history = History()
    model = Blend(ModelContext(history))
    bounds = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    for begin, end in itertools.pairwise(bounds):
        users, items, ratings = (np.array(column) for column in zip(*events[begin:end], strict=True))
        if look and ratings[0] >= 1.0:
            model.observe(int(users[0]), int(items[0]), float(ratings[0]))
        times = np.arange(begin, end, dtype=np.float64)
        model.learn(history.append(users, items, ratings, ratings, times))
    return history, model


def naive(events: list[Event], user: int) -> dict[int, list[float]]:
    """Each item that the user has taken, and its features; every event has a time of its own."""
    taken: dict[int, list[int]] = {}
    number = 0
    for who, item, rating in events:
        if who != user:
            continue
        if math.isnan(rating) or rating <= 0.0:
            taken.pop(item, None)
        else:
            taken.setdefault(item, []).append(number)
        number += not math.isnan(rating)
    found = {}
    # The newest of what stands with a positive weight.
    newest = max((numbers[-1] for numbers in taken.values()), default=-1)
    for item, numbers in taken.items():
        fading = [sum(0.5 ** ((number - each) / half) for each in numbers) for half in (30.0, 300.0)]
        age, last = number - numbers[-1], float(numbers[-1] == newest)
        logarithms = [math.log(1.0 + len(numbers)), *(math.log(each + 0.01) for each in fading)]
        found[item] = [*logarithms, math.log(1.0 + age), last, last]
    return found


events = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 5), st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.0, -1.0, math.nan])
    ),
    min_size=1,
    max_size=120,
)


@given(events, st.lists(st.integers(1, 120), max_size=5))
def test_features_equal_naive_ones(log: list[Event], cuts: list[int]) -> None:
    _, model = learned(log, cuts)
    for user in range(3):
        items, features = model.repeats.own(user)
        expected = naive(log, user)
        assert sorted(items.tolist()) == sorted(expected)
        for item, row in zip(items.tolist(), features.tolist(), strict=True):
            assert row == pytest.approx(expected[item], rel=1e-5, abs=1e-6), FEATURES


@settings(max_examples=30)
@given(events, st.lists(st.integers(1, 120), max_size=5))
def test_neither_batches_nor_restarts_change_anything(log: list[Event], cuts: list[int]) -> None:
    history, model = learned(log, [], look=False)
    _, other = learned(log, cuts, look=False)
    state = model.state()
    assert {name: array.tolist() for name, array in other.state().items()} == {
        name: array.tolist() for name, array in state.items()
    }
    again = Blend(ModelContext(history))
    again.restore(state)
    more = [(user, item, 1.0) for user in range(3) for item in range(4)]
    users, items, ratings = (np.array(column) for column in zip(*more, strict=True))
    new = history.append(users, items, ratings, ratings, np.arange(len(more)) + 1000.0)
    for each in (model, again):
        each.learn(new)
    everything = np.arange(history.item_count, dtype=np.int32)
    for user in range(3):
        assert again.score_rated(user, everything).tolist() == model.score_rated(user, everything).tolist()


def habits(seed: int, count: int) -> list[Event]:
    """Users who have favourites, come back to them half of the time, and else take what is new to them."""
    rng = np.random.default_rng(seed)
    rows: list[Event] = []
    for _ in range(count):
        user = int(rng.integers(60))
        favourite = rng.random() < 0.5
        item = (user * 7 + int(rng.geometric(0.5))) % 300 if favourite else int(rng.integers(300))
        rows.append((user, item, 1.0))
    return rows


def naive_share(events: list[Event], user: int) -> float:
    """How likely the next choice of a user is a repeat, by what users with such histories did."""
    had: set[tuple[int, int]] = set()
    numbers: dict[int, int] = {}
    last: dict[int, bool] = {}
    kinds: dict[tuple[int, bool], list[float]] = {}

    def kind(who: int) -> tuple[int, bool]:
        return min(max(numbers.get(who, 0), 1).bit_length() - 1, 15), last.get(who, False)

    for who, item, rating in events:
        again = (who, item) in had and rating > 0.0
        if rating >= 1.0:
            if numbers.get(who, 0) > 0:
                repeats, choices = kinds.get(kind(who), [0.0, 0.0])
                kinds[kind(who)] = [repeats * 0.9999 + again, choices * 0.9999 + 1.0]
            last[who] = again
        if rating > 0.0:
            had.add((who, item))
        else:
            had.discard((who, item))
        numbers[who] = numbers.get(who, 0) + (not math.isnan(rating))
    mean = (1.0 + sum(each[0] for each in kinds.values())) / (2.0 + sum(each[1] for each in kinds.values()))
    repeats, choices = kinds.get(kind(user), [0.0, 0.0])
    return (repeats + 20.0 * mean) / (choices + 20.0)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max())
    shares: np.ndarray = powers / powers.sum()
    return shares


@settings(max_examples=30)
@given(events, st.lists(st.integers(1, 120), max_size=5))
def test_scores_equal_those_of_a_naive_gate(log: list[Event], cuts: list[int]) -> None:
    history, model = learned(log, cuts)
    everything = np.arange(history.item_count, dtype=np.int32)
    weights = model.repeats.ranker.weights(-1)
    for user in range(3):
        own = naive(log, user)
        new = ~np.isin(everything, history.items_of(user))
        if not own or not new.any():
            continue
        share = naive_share(log, user)
        scores = model.score_rated(user, everything)
        expected = share * softmax(np.array([row @ weights for row in map(np.array, own.values())]))
        assert np.exp(scores[list(own)]) == pytest.approx(expected, rel=1e-4)
        expected = (1.0 - share) * softmax(model.score(user, everything[new]))
        assert np.exp(scores[new]) == pytest.approx(expected, rel=1e-4)


def test_shares_add_up_as_the_gate_says() -> None:
    history, model = learned(habits(1, 4000), list(range(0, 4000, 20)))
    everything = np.arange(history.item_count, dtype=np.int32)
    for user in range(0, 60, 7):
        own = np.isin(everything, history.items_of(user))
        shares = np.exp(model.score_rated(user, everything))
        assert shares.sum() == pytest.approx(1.0)
        assert 0.3 < shares[own].sum() < 0.9
        # What is new is ordered as ever.
        plain = model.score(user, everything[~own])
        assert (
            np.argsort(-shares[~own], kind="stable")[:20].tolist()
            == np.argsort(-plain, kind="stable")[:20].tolist()
        )


def test_candidates_of_one_kind_have_no_gate() -> None:
    history, model = learned(habits(2, 2000), list(range(0, 2000, 20)))
    everything = np.arange(history.item_count, dtype=np.int32)
    own = np.isin(everything, history.items_of(5))
    assert np.exp(model.score_rated(5, everything[own])).sum() == pytest.approx(1.0)
    for user, items in ((5, everything[~own]), (10**6, everything), (5, everything[:0])):
        assert model.score_rated(user, items).tolist() == model.score(user, items).tolist()


class Deaf:
    """Learns nothing of what users take again."""

    budget = Budget(0.0)

    def learn(self, *_: object) -> None:
        pass

    def observe(self, *_: object) -> None:
        pass


def test_all_else_is_as_if_nobody_counted() -> None:
    history = History()
    model, plain = (Blend(ModelContext(history)) for _ in range(2))
    plain.repeats = Deaf()  # type: ignore[assignment]
    for time, (user, item, rating) in enumerate(habits(3, 1500)):
        for each in (model, plain):
            each.observe(user, item, rating)
        new = history.append([user], [item], [rating], [rating], [float(time)])
        for each in (model, plain):
            each.learn(new)
    everything = np.arange(history.item_count, dtype=np.int32)
    for user in (0, 7, 10**6):
        assert model.score(user, everything).tolist() == plain.score(user, everything).tolist()
    learned = [each.weights.ranker.state()["weights"].tolist() for each in (model, plain)]
    assert learned[0] == learned[1]


def test_with_repeats_as_targets_it_is_better_than_without_counting() -> None:
    rows = habits(4, 6000)
    users, items, ratings = (np.array(column) for column in zip(*rows, strict=True))
    stream = Stream.of(users, items, ratings, np.arange(len(rows), dtype=np.float64), 1.0)
    gated, popular = (result.array() for result in evaluate(stream, ["blend", "popular"], repeats=True))
    assert len(gated) == 3000
    assert recall(gated) > 2.0 * recall(popular)
    assert reciprocal_rank(gated) > 2.0 * reciprocal_rank(popular)
    without = evaluate(stream, ["blend"])[0].array()
    assert len(without) < len(gated)


def test_a_request_gets_what_the_user_takes_again_only_where_it_asks() -> None:
    shard = Shard(ShardOptions(model="blend", feedback=Feedback.parse("positive:1"), test_every=0))
    rows = [(f"u{user}", f"i{item}", 5.0) for user, item, _ in habits(5, 1500)]
    rows += [("u1", "i250", 5.0)] * 30
    shard.learn([Rating(*row, None) for row in rows], np.arange(len(rows), dtype=np.float64))
    found = [each.item for each in shard.recommend(Request(user="u1", include_rated=True)).items]
    assert found[0] == "i250"
    user = shard.users.find("u1")
    assert user is not None
    own = {shard.items.id_of(item) for item in shard.history.items_of(user).tolist()}
    assert own.isdisjoint(each.item for each in shard.recommend(Request(user="u1")).items)
    wanted: list[str | int] = ["i250", "i7", "never seen"]
    few = shard.recommend(Request(user="u1", include_rated=True, items=wanted)).items
    assert few[0].item == "i250"


def test_who_is_forgotten_leaves_no_pairs() -> None:
    log: list[Rated] = [(user, item, 5.0, 1.25, 0.0) for _ in range(3) for user in (0, 1) for item in (0, 1)]
    driven = Driven(Blend).learn(log).forget_user(0)
    state = driven.model.state()
    assert state["repeats_users"].tolist() == [1, 1]
    assert state["repeats_last"].tolist() == [0, 1]
    assert driven.forget_item(1).model.state()["repeats_items"].tolist() == [0]
    again = driven.learn([(0, 0, 5.0, 1.25, 0.0)]).model.state()
    assert (again["repeats_users"].tolist(), again["repeats_times"].tolist()) == ([1], [3.0])


def naive_pairs(events: list[Event]) -> dict[tuple[int, int], float]:
    """How often users took what they took again, in the order of the first time, the last into each gap."""
    had: set[tuple[int, int]] = set()
    pairs: dict[tuple[int, int], float] = {}
    for user, item, rating in events:
        pair = (user, item)
        if math.isnan(rating):
            had.discard(pair)
            if pair in pairs:
                order, last = list(pairs), pairs.popitem()
                if last[0] != pair:
                    order[order.index(pair)] = last[0]
                    pairs = {each: {**pairs, last[0]: last[1]}[each] for each in order[:-1]}
        elif pair in had:
            pairs[pair] = pairs.get(pair, 1.0) + 1.0
        else:
            had.add(pair)
    return pairs


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_that_stand_however_many_they_become(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log: list[Event] = []
    for withdrawn in (0.02, 0.6, 0.1):  # they become many, then few, and again many
        for user, item, draw in zip(*rng.integers([[60], [20], [1000]], size=(3, 3000)), strict=True):
            log.append((int(user), int(item), math.nan if draw < 1000 * withdrawn else 1.0))
    cuts = rng.integers(1, len(log), 40).tolist()
    _, model = learned(log, cuts, look=False)
    state, expected = model.state(), naive_pairs(log)
    pairs = zip(state["repeats_users"].tolist(), state["repeats_items"].tolist(), strict=True)
    assert list(zip(pairs, state["repeats_times"].tolist(), strict=True)) == list(expected.items())
    for user in range(60):
        items, features = model.repeats.own(user)
        times = np.expm1(features[:, 0])
        assert times == pytest.approx([expected.get((user, item), 1.0) for item in items.tolist()])


def test_pairs_are_found_while_slots_are_moved() -> None:
    """It is a few at a time, and a pair may be in either set of slots meanwhile."""
    pairs, last = empty_pairs(), np.zeros(4000, np.uint8)
    rng, taken, between = np.random.default_rng(1), np.zeros(4000, np.int64), 0
    for _ in range(3000):
        users = rng.integers(0, 4000, 4).astype(np.int32)
        gone = rng.random(4) < 0.1
        zeros, ones = np.zeros(4, np.int32), np.ones(4, np.float32)
        ratings = np.where(gone, np.float32(np.nan), np.float32(1.0))
        pairs = with_room(pairs, 4)
        between += len(pairs.old) > 0
        columns = users, zeros, ratings, ones, ones, zeros, zeros
        count_times(pairs, np.float32(1.0), columns, last, np.zeros((LENGTHS, 2, 2)))
        for user, left in zip(users.tolist(), gone.tolist(), strict=True):
            taken[user] = 0 if left else taken[user] + 1
    count = int(pairs.filled[0])
    kept = np.zeros(4000, np.int64)
    kept[pairs.users[:count]] = pairs.times[:count]
    assert kept.tolist() == np.where(taken > 0, taken + 1, 0).tolist()
    assert between > 50
