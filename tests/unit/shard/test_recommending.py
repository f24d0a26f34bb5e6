"""Lists: their order, what is explored, what may be recommended, and what is refused."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.history.catalog import Catalog
from recommender.history.events import Events
from recommender.history.history import History
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.messages.responses import Response
from recommender.models.base import Arrays, IntArray, Model
from recommender.shard import explored_lists
from recommender.shard.arms import Arms
from recommender.shard.exploration import Exploration
from recommender.shard.feedback import Feedback
from recommender.shard.learned import Learned
from recommender.shard.options import ShardOptions
from recommender.shard.query import AsOf
from recommender.shard.recommending import Recommender
from recommender.shard.shard import Shard
from tests.unit.shard.test_shard_learning import stream, times_of

ITEMS = 12


class Table(Model):
    """A model whose scores and neighbours are given; anything beyond scores 0.5 and has no neighbours."""

    def __init__(self, scores: list[float], neighbours: list[int] | None = None) -> None:
        self.scores, self.supported = scores, neighbours

    def learn(self, events: Events) -> None:
        raise NotImplementedError

    def state(self) -> Arrays:
        raise NotImplementedError

    def restore(self, state: Arrays) -> None:
        raise NotImplementedError

    def score(self, user: int, candidates: IntArray) -> NDArray[np.float64]:
        return np.array([self.scores[each] if each < len(self.scores) else 0.5 for each in candidates])

    def neighbours(self, user: int, candidates: IntArray) -> IntArray | None:
        if self.supported is None:
            return None
        return np.array([self.supported[each] if each < ITEMS else 0 for each in candidates], np.int32)


def recommender(model: Any, exploration: str = "none") -> Recommender:
    """Items 0 to 11; user `one` has rated items 0 and 1, and of the others the later are rated more often."""
    users, items, history = Catalog(), Catalog(), History()
    rows = [("one", 0), ("one", 1)] + [(f"u{u}", item) for item in range(ITEMS) for u in range(item // 4)]
    for item in range(ITEMS):
        items.register(f"i{item}")
    for user, item in rows:
        history.append([users.register(user)], [item], [1.0], [1.0], [0.0])
    history.append([users.register("two")], [ITEMS - 1], [1.0], [1.0], [0.0])
    popular = Table(history.item_counts.astype(float).tolist())
    experiment = Arms.parse("table:1")
    models: Any = {"table": model}
    given: Any = popular
    learned = Learned(
        users=users, items=items, history=history, models=models, popular=given, experiment=experiment
    )
    return Recommender(learned, exploration=Exploration.parse(exploration), seed=0)


def ask(asked: Recommender, user: str = "one", identity: bytes = b"", **fields: Any) -> Response:
    return asked.recommend(Request(user, **fields), identity=identity, as_of=AsOf(3, 7, 9))


def ids(response: Response) -> list[str]:
    return [each.item for each in response.items]


def test_equal_scores_are_ordered_by_neighbours_then_by_ratings_then_by_age() -> None:
    scores = [9.0, 9.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.0, 0.0]
    neighbours = [0, 0, 9, 1, 0, 5, 0, 0, 0, 0, 0, 0]
    expected = ["i5", "i3", "i8", "i9", "i4", "i6", "i7", "i2", "i11", "i10"]
    every = ask(recommender(Table(scores, neighbours)))
    assert ids(every) == expected
    assert [each.neighbours for each in every.items] == [5, 1, 0, 0, 0, 0, 0, 9, 0, 0]
    for n in range(1, len(expected)):
        assert ask(recommender(Table(scores, neighbours)), n=n).items == every.items[:n]
    without = ask(recommender(Table(scores)), n=3)
    assert ids(without) == ["i8", "i9", "i4"]
    assert {each.neighbours for each in without.items} == {None}


@pytest.mark.parametrize("exploration", ["epsilon:0.5", "softmax:2", "thompson"])
def test_an_explored_list_tells_the_truth_about_each_place(exploration: str) -> None:
    table = Table([float(each) for each in range(ITEMS)], list(range(ITEMS)))
    asked, sources = recommender(table, exploration), Counter[str]()
    plain = ids(ask(asked, explore=0))
    assert plain == [f"i{each}" for each in range(ITEMS - 1, 1, -1)]
    for number in range(100):
        answer = ask(asked, identity=b"%d" % number, n=7)
        assert answer == ask(asked, identity=b"%d" % number, n=7)
        assert len(set(ids(answer))) == 7
        assert not {"i0", "i1"} & set(ids(answer))
        for each in answer.items:
            assert each.item == f"i{each.score:g}" == f"i{each.neighbours}"
        # What is exploited is the best of what is not in the list yet.
        for place, each in enumerate(answer.items):
            if each.source == "exploit":
                assert each.item == next(item for item in plain if item not in ids(answer)[:place])
        sources.update(each.source for each in answer.items)
    assert min(sources["explore"], sources["exploit"]) > 50


def test_a_request_may_ask_for_its_own_share_of_chance() -> None:
    asked = recommender(Table([float(each) for each in range(ITEMS)]))
    assert {each.source for each in ask(asked).items} == {"exploit"}
    all_of_it = [ask(asked, identity=b"%d" % each, explore=1.0, n=3) for each in range(50)]
    assert {each.source for answer in all_of_it for each in answer.items} == {"explore"}
    assert len({tuple(ids(answer)) for answer in all_of_it}) > 40


def test_candidates_that_are_exhausted_make_a_shorter_list() -> None:
    asked = recommender(Table([1.0] * ITEMS), "epsilon:0.5")
    for number in range(20):
        found = ids(ask(asked, identity=b"%d" % number, items=["i0", "i3", "i4", "i4", "never"]))
        assert sorted(found) == ["i3", "i4"]


def test_what_was_rated_is_exploited_if_asked_for_but_never_explored() -> None:
    asked = recommender(Table([9.0, 8.0, *[1.0] * (ITEMS - 2)]), "epsilon:0.5")
    rated = [
        each
        for number in range(100)
        for each in ask(asked, identity=b"%d" % number, include_rated=True).items
        if each.item in ("i0", "i1")
    ]
    assert rated
    assert {each.source for each in rated} == {"exploit"}


def test_thompson_draws_by_each_items_own_ratings(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def remember(*arguments: Any, **named: Any) -> list[Any]:
        given.append((named["positives"], named["negatives"], named["explorable"]))
        return []

    monkeypatch.setattr(explored_lists, "mix", remember)
    feedback, ratings = Feedback.parse("graded:4"), stream(8, 300)
    shard = Shard(ShardOptions("cooc", feedback, exploration=Exploration("thompson")))
    shard.learn(ratings, times_of(ratings))
    standing = {(each.user, each.item): each.rating for each in ratings}
    shard.recommend(Request("nobody"))
    ((positives, negatives, explorable),) = given
    assert explorable is None
    for item, positive, negative in zip(shard.items.ids(), positives, negatives, strict=True):
        values = [value for (_, rated), value in standing.items() if rated == item and value is not None]
        assert positive == sum(value >= 4 for value in values)
        assert negative == sum(value < 4 for value in values)


def test_a_model_may_answer_for_items_that_nobody_has_rated() -> None:
    table = Table([float(each) / ITEMS for each in range(ITEMS)], [2] * ITEMS)
    asked = recommender(table)
    items = ["z", "i11", "i2", "y", "z", "i0", "x"]
    assert ids(ask(asked, items=items)) == ["i11", "i2"]
    table.answers_unseen_items = True
    answer = ask(asked, items=items, exclude=["x"])
    assert [(each.item, each.neighbours, each.cold_start) for each in answer.items] == [
        ("i11", 2, False),
        ("z", 0, True),
        ("y", 0, True),
        ("i2", 2, False),
    ]
    # The popular items answer whom the model does not, and know nothing of the others.
    assert ids(ask(asked, "nobody", items=items)) == ["i11", "i0", "i2"]
    assert len(ask(asked, include_rated=True, n=100).items) == ITEMS


def test_users_without_ratings_are_a_cold_start_whoever_answers() -> None:
    table = Table([1.0] * ITEMS)
    asked = recommender(table)
    assert (ask(asked, "nobody").model, ask(asked, "nobody").cold_start) == ("popular", True)
    table.answers_unseen_users = True
    answer = ask(asked, "nobody")
    assert (answer.model, answer.cold_start) == ("table", True)
    assert (answer.partition, answer.offset) == (3, 7)
    assert not ask(asked).cold_start


def test_who_has_taken_all_back_is_a_cold_start_again() -> None:
    shard = Shard(ShardOptions("cooc", Feedback.parse("signed")))
    shard.learn([Rating("u", "a", 1, None), Rating("v", "b", 1, None)], [0.0, 1.0])
    assert not shard.recommend(Request("u")).cold_start
    shard.learn([Rating("u", "a", None, None)], [2.0])
    answer = shard.recommend(Request("u"))
    assert (answer.cold_start, ids(answer)) == (True, ["b", "a"])
