"""A worker whose broker dies, that sleeps beyond its session, or is stopped under load, loses nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from recommender.kafka.local.broker import LocalBroker
from tests.chaos.traffic import Traffic
from tests.chaos.verdict import dead_letters
from tests.support.asking import answers
from tests.support.brokers import TEST_PROPERTIES
from tests.support.kafka import Record, consume_all, produce, wait_until
from tests.support.worker_logs import Oracle, generated, rating, running_worker
from tests.support.workers import PATIENCE, STOP_SECONDS, Worker, installed


def events(worker: Worker) -> int:
    """How many ratings it has learned."""
    return sum(int(replica["events"]) for replica in worker.journal.values())


def test_a_broker_that_goes_and_comes_back(tmp_path: Path) -> None:
    with (
        LocalBroker(properties=TEST_PROPERTIES) as broker,
        running_worker(broker.address, tmp_path, "broker", 2, generated(1000)) as running,
    ):
        worker = running.worker
        running.oracle.assert_agrees(worker)
        before, learned = len(worker.log.splitlines()), events(worker)
        # Blocks of the journal and dead letters are on their way when the broker dies.
        unkeyed = [Record(rating(f"u{each}", f"new{each}"), b"x") for each in range(3000)]
        produce(broker.address, running.topics.ratings, unkeyed)
        produce(broker.address, running.topics.ratings, [b"bad"] * 100)
        broker.kill()
        wait_until(lambda: "is gone" in worker.log, PATIENCE, worker.log)
        # A client that is not told to be quiet logs a hundred lines in each of these looks; and after ten
        # seconds a producer that is not told to wait gives up.
        for _ in range(130):
            assert worker.page("livez")[0] == 200
            time.sleep(0.1)
        broker.restart()
        wait_until(lambda: "is back after" in worker.log, PATIENCE, worker.log)
        assert running.oracle.assert_agrees(worker).shard.events == learned + 3000
        letters = [dict(each.headers) for each in consume_all(broker.address, running.topics.dead_letters)]
        places = [(each["__connect.errors.partition"], each["__connect.errors.offset"]) for each in letters]
        assert len(set(places)) == 100
        produce(broker.address, running.topics.ratings, generated(1000, seed=2))
        running.oracle.assert_agrees(worker)
        assert answers(broker.address, running.topics)
        said = worker.log.splitlines()[before:]
        assert sum("is gone" in line for line in said) == 1
        assert sum("is back after" in line for line in said) == 1
        assert len(said) < 25, worker.log


def test_a_worker_that_slept_beyond_its_session_spoils_nothing(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "sleeper", 2) as installation:
        oracle = Oracle(installation)
        sleeper, other = (installation.worker().start().ready() for _ in range(2))
        produce(kafka, installation.topics.ratings, generated(1000))
        oracle.assert_agrees(sleeper, other)
        sleeper.send_signal(signal.SIGSTOP)
        produce(kafka, installation.topics.ratings, generated(1000, seed=2))
        # All that comes is learned again once its partition is the other's.
        oracle.assert_agrees(other)
        sleeper.send_signal(signal.SIGCONT)
        produce(kafka, installation.topics.ratings, generated(1000, seed=3))
        oracle.assert_agrees(sleeper, other)
        produce(kafka, installation.topics.ratings, generated(1000, seed=4))
        oracle.assert_agrees(sleeper, other)
        sleeper.stop()
        other.stop()


def test_it_stops_under_load_and_at_once_when_told_twice(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "stopping", 2) as installation:
        worker = installation.worker().start().ready()
        traffic = Traffic(kafka, installation.topics, 2, seed=5, ratings=2000.0, requests=50.0)
        traffic.start()
        for signals in ([signal.SIGTERM], [signal.SIGINT], [signal.SIGINT, signal.SIGTERM]):
            wait_until(lambda: worker.metric("recommender_replies_total") > 50, PATIENCE, worker.log)
            # While it sleeps both signals arrive; then neither is too late.
            for each in (signal.SIGSTOP, *signals, signal.SIGCONT):
                worker.send_signal(each)
            assert worker.exit_code(STOP_SECONDS) == (0 if len(signals) == 1 else 130), worker.log
            worker.start().ready()
        sent = traffic.stop()
        assert Oracle(installation).assert_agrees(worker).rule.counts.rows == sent.ratings
        assert dead_letters(installation, sent) == []
