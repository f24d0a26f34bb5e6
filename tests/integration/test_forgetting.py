"""A real worker forgets: answers, status, checkpoints and what comes after know nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from recommender.cli.main import recommender
from recommender.client import Client
from tests.support.calling import call
from tests.support.kafka import Record, produce, wait_until
from tests.support.worker_logs import Running, generated, newest_checkpoint, rating, running_worker

SECRET = "somebody-to-forget"
#: What an exported line says of its place.
PLACES = ("timestamp", "checkpoint")


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that knows somebody who is to be forgotten."""
    ratings = [*generated(2000), *(Record(rating(SECRET, f"i{number}", 5)) for number in range(5))]
    with running_worker(
        kafka, tmp_path_factory.mktemp("forgetting"), "forgetting", ratings=ratings, checkpoint_interval=1
    ) as running:
        yield running


def holds(running: Running, secret: str) -> bool:
    """Tell whether the newest checkpoint has an id anywhere."""
    state = newest_checkpoint(running.installation.checkpoints, running.topics, 0).state
    return any(secret.encode() in array.tobytes() for array in state.values())


def test_who_is_forgotten_is_a_stranger_and_in_no_checkpoint(running: Running) -> None:
    with Client(running.kafka, running.topics.prefix) as client:
        assert not client.recommend(SECRET, after={"journal": 0}).cold_start
        written = client.forget(SECRET)
        mine = client.recommend(SECRET, after=written)
        stranger = client.recommend("somebody else", after=written)
        assert mine.cold_start
        assert [each.item for each in mine.items] == [each.item for each in stranger.items]
        item = client.recommend("u1").items[0].item
        after = client.forget(item=item)
        assert item not in {each.item for each in client.recommend("u1", n=1000, after=after).items}
        client.recommend("u1", after=client.forget("nobody at all"))
    assert running.worker.metric("recommender_forgotten_total", what="user", result="forgotten") == 1
    assert running.worker.metric("recommender_forgotten_total", what="user", result="unknown") == 1
    assert running.worker.metric("recommender_forgotten_total", what="item", result="forgotten") == 1
    assert running.worker.metric("recommender_ratings_total", result="forget") == 3
    wait_until(lambda: not holds(running, SECRET))
    running.oracle.assert_followed(running.worker)


def run(running: Running, *arguments: str) -> Result:
    """Run a command on the worker's topics."""
    environment = {
        "RECOMMENDER_BROKER": running.kafka,
        "RECOMMENDER_TOPIC_PREFIX": running.topics.prefix,
        "RECOMMENDER_CHECKPOINTS": str(running.installation.checkpoints),
    }
    return CliRunner(env=environment).invoke(recommender, arguments)


def test_the_command_and_http_forget_too(running: Running) -> None:
    given = [rating("by command", "i1", 5), rating("by http", "i1", 5)]
    produce(running.kafka, running.topics.ratings, given)
    told = run(running, "forget", "--user", "by command")
    assert told.exit_code == 0, told.output
    assert "by command: written to partition 0" in told.output
    place = call(running.worker, "/ratings", [{"user": "by http", "forget": True}]).body["written"][-1]
    after = {name: place[name] for name in ("partition", "offset")}
    with Client(running.kafka, running.topics.prefix) as client:
        for user in ("by command", "by http"):
            assert client.recommend(user, after=after).cold_start
    running.oracle.assert_followed(running.worker)


def test_a_guest_who_logs_in_leaves_ratings_behind_and_both_may_be_exported(running: Running) -> None:
    given = [rating("shopper", "i1", 2), rating("guest", "i1", 5), rating("guest", "i2", 4)]
    produce(running.kafka, running.topics.ratings, given)
    with Client(running.kafka, running.topics.prefix) as client:
        written = client.merge("shopper", "guest")
        assert not client.recommend("shopper", after=written).cold_start
        assert client.recommend("guest", after=written).cold_start
    running.oracle.assert_followed(running.worker)
    assert running.worker.metric("recommender_forgotten_total", what="guest", result="merged") == 1
    told = run(running, "export", "--user", "shopper")
    assert told.exit_code == 0, told.output
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    said = [{name: value for name, value in line.items() if name not in PLACES} for line in lines]
    assert said == [
        {"from": "journal", "user": "shopper", "item": "i1", "rating": 2.0},
        {"from": "journal", "user": "shopper", "merge": "guest"},
        {"from": "checkpoint", "user": "shopper", "item": "i1", "rating": 2},
        {"from": "checkpoint", "user": "shopper", "item": "i2", "rating": 4},
    ]
    told = run(running, "export", "--user", "guest")
    assert [json.loads(line)["from"] for line in told.stdout.splitlines()] == ["journal"] * 3
