"""An experiment on a real worker: arms that stick, lists that are explored, and a log of what was shown."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import pytest

from recommender.messages.partitioning import partition_of
from recommender.messages.recommendations_log import decode
from recommender.messages.requests import Request
from recommender.shard.arms import Arms
from tests.support.asking import Asker, asking
from tests.support.kafka import Record, consume, consume_all, produce, wait_until
from tests.support.worker_logs import Oracle, Running
from tests.support.workers import installed

ARMS, OTHER_SHARES = "cooc:1,knn-baseline:1", "knn-baseline:5,cooc:1"
USERS = [f"u{each}" for each in range(30)]
ITEMS = 60
ONCE = 1_000_000_000


def signed_history(count: int) -> list[Record]:
    """+1, -1, 0 and withdrawals of what may stand or not, keyed by user."""
    draw, records = random.Random(7), []
    for number in range(count):
        user, item = draw.choice(USERS), f"i{min(int(draw.expovariate(6 / ITEMS)), ITEMS - 1)}"
        value = draw.choice([1, 1, 1, -1, -1, 0, None])
        body = {"user": user, "item": item, "rating": value, "timestamp": ONCE + number}
        records.append(Record(json.dumps(body).encode(), user.encode()))
    return records


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker with two arms on two partitions, which has learned a history."""
    with installed(kafka, tmp_path_factory.mktemp("experiment"), "experiment", 2) as installation:
        produce(kafka, installation.topics.ratings, signed_history(3000))
        worker = installation.worker(arms=ARMS, feedback="signed")
        oracle = Oracle(installation, arms=ARMS, feedback="signed")
        running = Running(installation, worker.start().ready(), oracle)
        # It is ready before it has learned what no journal had yet.
        oracle.assert_agrees(running.worker)
        yield running


@pytest.fixture
def oracle(running: Running) -> Oracle:
    """What a shard knows that read the journal; the worker has saved the same."""
    running.oracle.assert_agrees(running.worker)
    return running.oracle


@pytest.fixture
def asker(running: Running) -> Iterator[Asker]:
    """Sends requests."""
    with asking(running.kafka, running.topics) as asker:
        yield asker


def test_both_arms_answer_as_a_shard_that_read_the_journal(oracle: Oracle, asker: Asker) -> None:
    for user in [*USERS[:5], "new"]:
        for arm in ("cooc", "knn-baseline"):
            sent = asker.send({"user": user, "arm": arm, "n": 7})
            reply = asker.reply(sent)
            assert reply.body == json.loads(oracle.recommend(Request(user, arm=arm, n=7), sent).encode())
            assert (reply.body["arm"], reply.body["cold_start"]) == (arm, user == "new")
    error = asker.ask({"user": "u1", "arm": "item-knn"}).error
    assert error["message"] == "arm 'item-knn' does not exist: expected 'cooc' or 'knn-baseline'"


def test_users_keep_their_arms_and_explored_lists_through_a_restart(running: Running, asker: Asker) -> None:
    explored = {"user": "u3", "explore": 1 / 3, "n": 20}
    experiment = Arms.parse(ARMS)

    def arms() -> dict[str, str]:
        sent = {user: asker.send({"user": user}) for user in USERS}
        return {user: asker.reply(each).body["arm"] for user, each in sent.items()}

    before = arms()
    assert before == {user: experiment.arm_of(user) for user in USERS}
    assert set(before.values()) == {"cooc", "knn-baseline"}
    lists = [asker.ask(explored, correlation=b"once")]
    assert {each["source"] for each in lists[0].body["items"]} == {"exploit", "explore"}
    assert asker.ask(explored | {"explore": 0}).items == asker.ask({"user": "u3", "n": 20}).items

    asker.send(explored, correlation=b"once")
    running.worker.stop()
    asker.send(explored, correlation=b"once")
    running.worker.start().ready()
    wait_until(lambda: len(asker.replies()[b"once"]) == 3)
    assert [each.body for each in asker.replies()[b"once"]] == [lists[0].body] * 3
    assert arms() == before


def test_what_was_shown_is_in_the_log(running: Running, asker: Asker) -> None:
    topic = running.topics.recommendations
    earlier = len(consume_all(running.kafka, topic))
    asked = {
        asker.send({"user": user, "explore": 0.5, "n": 5}, correlation=b"shown to %s" % user.encode()): user
        for user in USERS[:8]
    }
    hidden = asker.send({"user": "u1"}, correlation=b"\xff\x00")
    failed = asker.send({"user": "u1", "n": 0})
    replies = {correlation: asker.reply(correlation) for correlation in (*asked, hidden, failed)}
    records = consume(running.kafka, topic, earlier + len(asked) + 1)
    new = {}
    for record in records:
        entry = decode(record.value)
        assert record.key == entry.user.encode()
        assert record.timestamp == round(entry.timestamp * 1000)
        assert record.partition == partition_of(entry.user, 2)
        new[entry.user, entry.request] = entry
    assert ("u1", "ff00") in new
    for correlation, user in asked.items():
        entry, body = new[user, correlation.decode()], replies[correlation].body
        assert (entry.experiment, entry.arm, entry.model) == ("default", body["arm"], body["model"])
        shown = [(each["item"], each["source"]) for each in body["items"]]
        assert [(each.item, each.source, each.position) for each in entry.items] == [
            (*each, position) for position, each in enumerate(shown)
        ]
    # One entry for each answered request, and a request that was sent three times counts as one.
    answers = [reply for each in asker.replies().values() for reply in each if reply.body["ok"]]
    assert len(consume_all(running.kafka, topic)) == len(answers)
    assert len({(decode(each.value).user, decode(each.value).request) for each in records}) < len(records)


def test_the_pages_tell_of_each_arm(running: Running, oracle: Oracle) -> None:
    status = running.worker.status()
    assert (status["arms"], status["experiment"]) == ({"cooc": 1.0, "knn-baseline": 1.0}, "default")
    live = status["journal"]["0"]["live"]
    assert live == oracle.replica.shard.live.summary()
    assert set(live["arms"]) == {"cooc", "knn-baseline"}
    for arm in live["arms"]:
        labels = {"partition": "0", "model": "model", "arm": arm}
        found = running.worker.metric("recommender_live_recall_at_10", **labels)
        assert found == pytest.approx(live["arms"][arm]["recall@10"])
    assert running.worker.metric("recommender_recommendations_total", result="logged") > 0
    assert running.worker.metric("recommender_recommendations_total", result="lost") == 0


def test_other_shares_go_on_from_the_checkpoint(running: Running, asker: Asker) -> None:
    """And move users to the arm that grew, and to no other."""
    running.worker.stop()
    changed = running.installation.worker(arms=OTHER_SHARES, feedback="signed")
    changed.start().ready()
    assert "no checkpoint" not in changed.log
    before, after = Arms.parse(ARMS), Arms.parse(OTHER_SHARES)
    for user in USERS:
        arm = asker.ask({"user": user}).body["arm"]
        assert arm == after.arm_of(user)
        assert arm in (before.arm_of(user), "knn-baseline")
