"""Times that are somebody else's: no wait depends on them, and none is taken for a time that is not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType

from recommender.kafka.admin import open_admin
from recommender.messages.recommendations_log import decode
from tests.chaos.recovery import Log
from tests.support.asking import Asker, asking
from tests.support.kafka import Record, consume_all, produce, wait_until
from tests.support.worker_logs import Oracle, Running, generated, newest_checkpoint, rating, running_worker
from tests.support.workers import PATIENCE, Installation, installed

#: How long requests may wait for learning here.
WAIT = 3.0
HOUR = 3600
#: Seconds that a client's clock is behind. A broker takes nothing that is more than an hour ahead of it.
CLOCKS = [0, 60, -60, 6 * 24 * HOUR, -HOUR + 60]


@pytest.fixture(scope="module")
def installation(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(kafka, tmp_path_factory.mktemp("clocks"), "clocks") as installation:
        take_senders_times(kafka, installation.topics.requests)
        produce(kafka, installation.topics.ratings, generated(300, users=20, items=40))
        yield installation


@pytest.fixture(scope="module")
def running(installation: Installation) -> Running:
    settings = {"request_wait": WAIT, "recommendations_log": "on"}
    running = Running(installation, installation.worker(**settings).start().ready(), Oracle(installation))
    running.oracle.assert_agrees(running.worker)
    return running


@pytest.fixture(scope="module")
def asker(running: Running) -> Iterator[Asker]:
    with asking(running.kafka, running.topics) as asker:
        yield asker
        asker.assert_one_reply_each()


def take_senders_times(kafka: str, topic: str) -> None:
    """Give a topic the times that its senders say, as most topics have that others have made."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"message.timestamp.type": "CreateTime"})
    with open_admin(kafka, 10) as admin:
        admin.alter_configs([resource])


def at(seconds: float) -> int:
    """A record's time so many seconds ago."""
    return int((time.time() - seconds) * 1000)


def produce_without_a_time(kafka: str, topic: str, *records: Record) -> None:
    """Write records whose time is -1, which means that there is none."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            batch = producer.create_batch()
            for each in records:
                batch.append(key=each.key, value=each.value, timestamp=-1, headers=list(each.headers))
            await (await producer.send_batch(batch, topic, partition=0))

    asyncio.run(send())


def test_after_waits_whatever_the_clients_clock_says(running: Running, asker: Asker) -> None:
    running.oracle.look()
    end = running.oracle.learned[0]
    ask = {"user": "u1", "after": end}
    sent = [asker.send(ask, timestamp_ms=at(behind)) for behind in CLOCKS]
    produce_without_a_time(
        running.kafka,
        running.topics.requests,
        Record(json.dumps(ask).encode(), b"u1", [("kafka_correlationId", b"no time")]),
    )
    sent.append(b"no time")
    asker.sent.append(b"no time")  # so that all replies are accounted for
    assert asker.ask({"user": "u1"}).body["ok"]  # all of them wait
    assert not any(asker.has_reply(each) for each in sent)
    produce(running.kafka, running.topics.ratings, [rating("u1", "new")])
    for each in sent:
        body = asker.reply(each).body
        assert body["ok"], body
        assert body["as_of"]["offset"] >= end


def test_after_gives_up_by_our_clock(asker: Asker) -> None:
    started = time.monotonic()
    sent = [asker.send({"user": "u1", "after": 10**12}, timestamp_ms=at(behind)) for behind in CLOCKS]
    assert not any(asker.has_reply(each) for each in sent)
    for each in sent:
        assert asker.reply(each).error["code"] == "not_caught_up"
        assert WAIT <= time.monotonic() - started < WAIT + 20


def deadline(seconds: float) -> tuple[str, bytes]:
    """The header for a moment so many seconds from now."""
    return "deadline-ms", b"%d" % (1000 * (time.time() + seconds))


def test_a_deadline_is_the_callers_own_word(asker: Asker) -> None:
    late, good, soon = [], [], []
    for behind in CLOCKS:
        late.append(asker.send({"user": "u1"}, deadline(-1), timestamp_ms=at(behind)))
        good.append(asker.send({"user": "u1"}, deadline(600), timestamp_ms=at(behind)))
        waits = {"user": "u1", "after": 10**12}
        soon.append(asker.send(waits, deadline(1), timestamp_ms=at(behind)))
    assert {asker.reply(each).error["code"] for each in late} == {"deadline_exceeded"}
    assert all(asker.reply(each).body["ok"] for each in good)
    # On a busy machine it may have passed before the request was read.
    assert {asker.reply(each).error["code"] for each in soon} <= {"not_caught_up", "deadline_exceeded"}


#: Milliseconds since 1970, and whether they have passed.
FAR = {
    b"0": True,
    b"-5": True,
    b"1700000000": True,
    b"99999999999999": False,
    b"9" * 300: False,
    b" 99999999999999 ": False,
}


def test_a_deadline_far_from_now(asker: Asker) -> None:
    started = time.monotonic()
    waits = {"user": "u1", "after": 10**12}
    sent = {text: asker.send(waits, ("deadline-ms", text)) for text in FAR}
    for text, passed in FAR.items():
        code = "deadline_exceeded" if passed else "not_caught_up"
        assert asker.reply(sent[text]).error["code"] == code, text
        assert passed or time.monotonic() - started >= WAIT


def test_a_rating_whose_record_has_no_time_has_that_of_its_reading(running: Running) -> None:
    before = time.time()
    names = ["a", "b", "c"]
    ratings = [Record(rating("timeless", each), b"timeless") for each in names]
    produce_without_a_time(running.kafka, running.topics.ratings, *ratings)
    produce(running.kafka, running.topics.ratings, [Record(rating("timely", "a"), timestamp_ms=5000)])
    shard = running.oracle.assert_agrees(running.worker).shard
    state = newest_checkpoint(running.installation.checkpoints, running.topics, 0).state
    times = {
        user: float(state["history/user_times"][shard.users.find(user)]) for user in ("timeless", "timely")
    }
    assert before - 60 <= times["timeless"] <= time.time() + 60
    assert times["timely"] == 5.0
    assert state["history/item_last_times"][shard.items.find("a")] == 5.0


def test_what_is_recommended_without_a_time_is_logged_now(running: Running, asker: Asker) -> None:
    request = json.dumps({"user": "u2"}).encode()
    headers = [("kafka_correlationId", b"logged")]
    produce_without_a_time(running.kafka, running.topics.requests, Record(request, b"u2", headers))
    assert asker.reply(b"logged").body["ok"]
    asker.sent.append(b"logged")

    def logged() -> list[float]:
        entries = [decode(each.value) for each in consume_all(running.kafka, running.topics.recommendations)]
        return [each.timestamp for each in entries if each.request == "logged"]

    (when,) = wait_until(logged, PATIENCE, running.worker.log)
    assert abs(when - time.time()) < 300


def test_without_a_committed_offset_old_requests_are_passed_over(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "first", ratings=generated(100, users=10, items=20)) as running:
        take_senders_times(kafka, running.topics.requests)
        installation, worker = running.installation, running.worker
        with asking(kafka, running.topics) as asker:
            first = [asker.send({"user": "u1"}, timestamp_ms=at(HOUR)) for _ in range(50)]
            asker.reply(first[-1])
            worker.stop()
            waiting = [asker.send({"user": "u1"}, timestamp_ms=at(seconds)) for seconds in (600, 61, 10, 0)]
            # Its clock is behind, but it was sent after one that was sent a moment ago.
            waiting.append(asker.send({"user": "u1"}, timestamp_ms=at(HOUR)))
            other = installation.worker(group=installation.group + "-2").start().ready()
            waiting.append(asker.send({"user": "u1"}, timestamp_ms=at(HOUR)))
            for each in waiting[2:]:
                assert asker.reply(each).body["ok"]
            begins = (
                f"{running.topics.requests}[0]: the group has no committed offset here; offsets 0 to 51 are"
            )
            assert f"{begins} older than 60 s and are passed over" in other.log
            other.stop()
            # A group that has been here answers all that it finds.
            worker.start().ready()
            for each in waiting:
                assert asker.reply(each).body["ok"]
            counts = {each: len(replies) for each, replies in asker.replies().items()}
            assert counts == {**dict.fromkeys(first + waiting[:2], 1), **dict.fromkeys(waiting[2:], 2)}
            assert "passed over" not in worker.log


def test_a_group_that_found_no_requests_was_there_all_the_same(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "idle", ratings=generated(100, users=10, items=20)) as running:
        take_senders_times(kafka, running.topics.requests)
        time.sleep(2.0)  # it commits every second
        running.worker.stop()
        with asking(kafka, running.topics) as asker:
            old = asker.send({"user": "u1"}, timestamp_ms=at(HOUR))
            running.worker.start().ready()
            assert asker.reply(old).body["ok"]


def test_a_request_from_the_future_does_not_bring_old_ones_back(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "future") as installation:
        take_senders_times(kafka, installation.topics.requests)
        topics = installation.topics
        produce(kafka, topics.ratings, generated(100, users=10, items=20))
        with asking(kafka, topics) as asker:
            old = [
                asker.send({"user": "u1"}, timestamp_ms=at(seconds)) for seconds in (HOUR, -1800, HOUR, -1800)
            ]
            young = asker.send({"user": "u1"})
            worker = installation.worker().start().ready()
            assert asker.reply(young).body["ok"]
            late = asker.send({"user": "u1"}, timestamp_ms=at(-HOUR / 2))
            assert asker.reply(late).body["ok"]
            wait_until(lambda: committed(installation) == 6)
            assert not set(old) & set(asker.replies())
            assert "has a time that is not of now; requests are passed over" in worker.log


@pytest.mark.parametrize("age", ["0", "1000000000000"])
def test_how_old_they_may_be_is_a_setting(kafka: str, tmp_path: Path, age: str) -> None:
    with installed(kafka, tmp_path, "age") as installation:
        take_senders_times(kafka, installation.topics.requests)
        produce(kafka, installation.topics.ratings, generated(100, users=10, items=20))
        with asking(kafka, installation.topics) as asker:
            sent = [
                # Kafka itself deletes what is a week old.
                asker.send({"user": "u1"}, timestamp_ms=at(seconds))
                for seconds in (6 * 24 * HOUR, 5)
            ]
            installation.worker(request_max_age=age).start().ready()
            now = asker.send({"user": "u1"})
            for each in [now] if age == "0" else [*sent, now]:
                assert asker.reply(each).body["ok"]
            wait_until(lambda: committed(installation) == 3)
            assert len(asker.replies()) == (1 if age == "0" else 3)


def committed(installation: Installation) -> int:
    """How far the requests are answered, as the group knows."""
    log = Log(installation)
    try:
        return log.committed(installation.topics.requests)[0]
    finally:
        log.close()


def test_a_topic_with_the_brokers_own_times(kafka: str, tmp_path: Path) -> None:
    """The request's own time is of no account there, which is what a requests topic is created with."""
    with installed(kafka, tmp_path, "append") as installation:
        topics = installation.topics
        with asking(kafka, topics) as asker:
            sent = asker.send({"user": "u1"}, timestamp_ms=at(HOUR))
            installation.worker().start().ready()
            assert asker.reply(sent).body["ok"]
