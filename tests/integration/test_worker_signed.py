"""Findka's loop over Kafka: signed ratings, skips and withdrawals teach like calls of set_rating."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from recommender.models.knn_baseline.knn_baseline import KNNBaseline
from tests.support.asking import asking
from tests.support.kafka import Record, consume_all, produce
from tests.support.worker_logs import Oracle, newest_checkpoint
from tests.support.workers import Installation, Worker, installed

SETTINGS = {"model": "knn-baseline/k=10/retrain=100", "feedback": "signed"}
USERS, ITEMS, COUNT = 30, 60, 2500


def history() -> list[tuple[str, str, Any]]:
    """What Findka's users did: most say yes or no, some pass over, some change their mind or take it back."""
    draw = random.Random(11)
    choices = [1] * 6 + [-1] * 4 + [0, "skip", "skip", None]
    return [
        (f"u{draw.randrange(USERS)}", f"i{int(ITEMS * draw.random() ** 2)}", draw.choice(choices))
        for _ in range(COUNT)
    ]


def record(user: str, item: str, rating: Any) -> Record:
    return Record(json.dumps({"user": user, "item": item, "rating": rating}).encode(), user.encode())


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, Worker]]:
    with installed(kafka, tmp_path_factory.mktemp("signed"), "signed") as installation:
        produce(kafka, installation.topics.ratings, [record(*each) for each in history()])
        yield installation, installation.worker(**SETTINGS).start().ready()


def plain() -> KNNBaseline:
    """The same history as calls."""
    knn = KNNBaseline(low=-1, high=1, k=10, retrain=100)
    for user, item, rating in history():
        if rating not in (0, "skip"):
            knn.set_rating(user, item, rating)
    return knn


def test_replayed_events_give_the_state_that_set_rating_gives(
    running: tuple[Installation, Worker],
) -> None:
    here, worker = running
    Oracle(here, **SETTINGS).assert_agrees(worker)
    saved = newest_checkpoint(here.checkpoints, here.topics, 0).state
    expected = plain().model.state()
    # A shard with one model keeps its arrays under one name; of several each has its own.
    for name, array in expected.items():
        (found,) = (saved[path] for path in saved if path.startswith("model") and path.endswith(f"/{name}"))
        assert found.tobytes() == array.tobytes(), name
    skipped = sum(rating in (0, "skip") for *_, rating in history())
    assert worker.metric("recommender_ratings_total", result="skipped") == skipped
    assert worker.metric("recommender_ratings_total", result="learned") == COUNT - skipped
    assert consume_all(here.kafka, here.topics.dead_letters) == []


def test_answers_are_those_of_top_also_for_strangers(running: tuple[Installation, Worker]) -> None:
    here, _ = running
    knn, everything = plain(), [f"i{number}" for number in range(ITEMS)]
    candidates = [*everything, "never-rated"]
    with asking(here.kafka, here.topics) as asker:
        for user in ("u0", "u7", "stranger"):
            request = {"user": user, "n": 20, "items": candidates, "include_rated": True, "after": COUNT - 1}
            reply = asker.ask(request).body
            told = {each["item"]: (each["score"], each["neighbours"]) for each in reply["items"]}
            answers = {each.item: each for each in knn.top(user, candidates, n=len(candidates))}
            assert told == {item: (answers[item].estimate, answers[item].neighbours) for item in told}
            expected = [(each.estimate, each.neighbours) for each in knn.top(user, candidates)]
            assert list(told.values()) == expected
            assert reply["model"] == SETTINGS["model"]
            assert reply["cold_start"] == (user == "stranger")
        only = asker.ask({"user": "u0", "items": ["never-rated"]}).body["items"]
        (answer,) = knn.top("u0", ["never-rated"])
        assert [(each["item"], each["score"], each["neighbours"]) for each in only] == [
            ("never-rated", answer.estimate, 0)
        ]


def test_a_user_who_takes_everything_back_is_a_stranger(running: tuple[Installation, Worker]) -> None:
    here, worker = running
    rated = [record("brief", item, rating) for item, rating in (("i0", 1), ("i1", -1), ("i2", "skip"))]
    with asking(here.kafka, here.topics) as asker:
        (_, offset) = produce(here.kafka, here.topics.ratings, rated)[-1]
        assert not asker.ask({"user": "brief", "after": offset}).body["cold_start"]
        gone = [record("brief", item, None) for item in ("i0", "i1", "i2")]
        (_, offset) = produce(here.kafka, here.topics.ratings, gone)[-1]
        reply = asker.ask({"user": "brief", "n": 5, "after": offset}).body
        assert reply["cold_start"]
        assert {each["neighbours"] for each in reply["items"]} == {0}
    Oracle(here, **SETTINGS).assert_agrees(worker)
