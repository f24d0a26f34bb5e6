"""A real worker learns one partition of ratings: in batches, exactly, JSON and MessagePack."""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec
import pytest

from tests.support.asking import asking
from tests.support.kafka import Record, produce, wait_until
from tests.support.worker_logs import Running, generated, rating, running_worker

COUNT = 20_000


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker on one partition, whose log held ratings before it started."""
    with running_worker(
        kafka, tmp_path_factory.mktemp("learning"), "learning", ratings=generated(COUNT)
    ) as running:
        yield running


def test_an_agent_gets_many_records_at_once(running: Running) -> None:
    running.worker.learned({0: COUNT})
    assert running.worker.metric("recommender_ratings_total", result="learned") == COUNT
    batches = running.worker.metric("recommender_batches_total")
    assert 1 <= batches < COUNT / 100


def test_a_backlog_is_learned_exactly(running: Running) -> None:
    shard = running.oracle.assert_agrees(running.worker).shard
    status = running.worker.journal[0]
    assert (status["users"], status["items"]) == (len(shard.users), len(shard.items))
    assert status["events"] == shard.events
    assert status["live"] == shard.live.summary()
    assert shard.live.tests > 0


def test_messagepack_and_json_teach_alike(running: Running) -> None:
    fields = {"user": "packed", "rating": 4.5, "timestamp": 1_100_000_000.25, "note": ["ignored"]}
    kinds = ["application/msgpack", "application/x-msgpack", "Application/MsgPack; charset=binary"]
    records = [
        Record(
            msgspec.msgpack.encode({**fields, "item": f"i{number}"}),
            headers=[("content-type", kind.encode())],
        )
        for number, kind in enumerate(kinds)
    ]
    as_json = json.dumps({**fields, "item": "i3"}).encode()
    records.append(Record(as_json, headers=[("content-type", b"application/json; charset=utf-8")]))
    running.worker.learned({0: COUNT})
    before = running.worker.metric("recommender_ratings_total", result="learned")
    produce(running.kafka, running.topics.ratings, records)
    shard = running.oracle.assert_agrees(running.worker).shard
    assert running.worker.metric("recommender_ratings_total", result="learned") == before + 4
    user = shard.users.find("packed")
    assert user is not None
    items, values, *_ = shard.history.rated(user)
    assert {shard.items.id_of(int(item)) for item in items} == {"i0", "i1", "i2", "i3"}
    assert set(values.tolist()) == {4.5}


def test_a_rating_again_replaces_and_null_withdraws(running: Running) -> None:
    kafka, topics = running.kafka, running.topics
    given = [rating("changes", "i1", 5), rating("changes", "i1", 1), rating(7, 50, 5), rating("7", "50", 1)]
    with asking(kafka, topics) as asker:

        def stands(user: str, item: str, after: int) -> tuple[bool, bool]:
            """Whether the user is known, and whether the item may not be recommended, for it is rated."""
            reply = asker.ask({"user": user, "n": 1, "items": [item], "after": after})
            return not reply.body["cold_start"], reply.items == []

        (_, offset) = produce(kafka, topics.ratings, given)[-1]
        assert stands("changes", "i1", offset) == (True, True)
        assert stands("7", "50", offset) == (True, True)
        taken_back = [rating("changes", "i1", None), rating("7", 50, None), rating("nobody", "nothing", None)]
        (_, offset) = produce(kafka, topics.ratings, taken_back)[-1]
        # Had the second rating counted beside the first, one of them would be left.
        assert stands("changes", "i1", offset) == (False, False)
        assert stands("7", "50", offset) == (False, False)
        # What nobody ever rated does not become known by being withdrawn.
        assert asker.ask({"user": "1", "items": ["nothing"], "after": offset}).items == []
    running.oracle.assert_agrees(running.worker)


def test_it_says_how_far_it_is(running: Running) -> None:
    worker = running.worker

    def at_the_end() -> bool:
        """Whether its metrics say so of the ratings and of the journal, and a lag is known at all."""
        page = worker.page("metrics")[1]
        known = b'recommender_lag_records{partition="0"}' in page
        lags = "recommender_lag_records", "recommender_lag_seconds", "recommender_journal_lag_seconds"
        return known and not any(worker.metric(name) for name in lags)

    wait_until(at_the_end, message=lambda: worker.page("metrics")[1].decode())
    assert worker.metric("recommender_event_delay_seconds_count") > 0
    assert worker.metric("recommender_rebalances_total", group="ratings") >= 1
    assert worker.metric("recommender_rebalances_total", group="requests") >= 1
    wait_until(lambda: worker.metric("recommender_checkpoint_age_seconds") > 0)
    said = worker.page("readyz")[1].decode().splitlines()
    assert said[0] == "ready"
    assert "ok      requests: answers partition 0" in said
    assert "ok      ratings: reads partition 0" in said
    assert worker.page("livez")[1].startswith(b"alive: the event loop turns")
