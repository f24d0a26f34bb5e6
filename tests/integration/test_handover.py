"""`recommender retrain` hands over to workers that run: no pause, nothing counted twice, whatever dies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.cli.retrain import retrain
from recommender.retraining import handover
from tests.integration.test_retrain import asked_meanwhile
from tests.support.asking import Asker, asking
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, generated, newest_checkpoint
from tests.support.workers import PATIENCE, Installation, Worker, installed

PARTITIONS = 2
SETTINGS = {"model": "popular", "test_every": "3"}
OTHER = "item-knn"


class Running(NamedTuple):
    """One worker, so that nobody else can answer while it changes."""

    installation: Installation
    worker: Worker

    def environment(self, **given: str) -> dict[str, str]:
        """The worker's settings, and these instead, as variables."""
        here = self.installation
        values = {
            "broker": here.kafka,
            "topic_prefix": here.topics.prefix,
            "group": here.group,
            "checkpoints": str(here.checkpoints),
            **SETTINGS,
            **given,
        }
        return {f"RECOMMENDER_{name.upper()}": value for name, value in values.items()}

    def retrain(self, *options: str, **given: str) -> Result:
        """Run the command until its end."""
        return CliRunner().invoke(retrain, list(options), env=self.environment(**given))

    def rate(self, count: int, seed: int) -> None:
        """Write ratings."""
        records = generated(count, seed=seed, users=120, items=150)
        produce(self.installation.kafka, self.installation.topics.ratings, records)

    def assert_learned(self, *workers: Worker, **given: str) -> None:
        """Compare the workers' digests with that of one pass over the journal."""
        Oracle(self.installation, **{**SETTINGS, **given}).assert_agrees(*workers or (self.worker,))

    def taken_over(self, times: int, *workers: Worker) -> None:
        """Wait until it was taken over so often, by all of these workers together."""

        def count() -> int:
            return sum(each.log.count("takes over hand-over") for each in workers or (self.worker,))

        wait_until(lambda: count() >= times, PATIENCE, self.worker.log)
        assert count() == times, self.worker.log

    def models(self, asker: Asker) -> set[str]:
        """Who answers in each partition of the requests."""
        return {asker.ask({"user": "u1", "n": 3}, partition=each).body["model"] for each in range(PARTITIONS)}


@pytest.fixture
def running(kafka: str, tmp_path: Path) -> Iterator[Running]:
    with installed(kafka, tmp_path, "handover", PARTITIONS) as installation:
        run = Running(installation, installation.worker(**SETTINGS))
        run.rate(6000, seed=3)
        produce(kafka, installation.topics.ratings, [b"not a rating"])
        run.worker.start().ready()
        run.assert_learned()
        yield run


def test_a_running_worker_changes_its_model_without_a_pause(running: Running) -> None:
    here, worker = running.installation, running.worker
    pid = worker.pid
    with asking(here.kafka, here.topics) as asker:
        assert running.models(asker) == {"popular"}
        with asked_meanwhile(asker):
            result = running.retrain("--tolerance", "0.1", model=OTHER)
            assert result.exit_code == 0, result.output
            assert "Handed over" in result.output
            # What came since the new checkpoints, and what comes while they are taken over.
            for seed in range(4, 12):
                running.rate(500, seed=seed)
            running.taken_over(1)
        assert running.models(asker) == {OTHER}
        asker.assert_one_reply_each()
        assert all(each[0].body["ok"] for each in asker.replies().values())
        assert_never_older(asker)
    assert worker.pid == pid
    assert worker.status()["model"] == OTHER
    running.assert_learned(model=OTHER)
    # Its own settings were replaced, so it goes on with those that replaced them.
    running.rate(300, seed=20)
    worker.kill()
    worker.start().ready()
    assert "is in force" in worker.log
    running.rate(300, seed=21)
    running.assert_learned(model=OTHER)
    running.taken_over(1)


def assert_never_older(asker: Asker) -> None:
    """The answers know of ever more ratings, in the order of each partition of the requests.

    Requests of different partitions that are open at the same time may be answered in any order.
    """
    replies = asker.replies()
    for partition in range(PARTITIONS):
        asked = [each for each in asker.sent if asker.partitions[each] == partition]
        journal = [replies[each][0].body["as_of"]["journal"] for each in asked]
        assert len(journal) > 1
        assert journal == sorted(journal)


def test_each_worker_takes_it_over(running: Running) -> None:
    """Handed over while nobody runs; then a second worker comes, and the first dies."""
    here, worker = running.installation, running.worker
    worker.stop()
    assert running.retrain("--tolerance", "0.1", model=OTHER).exit_code == 0
    running.rate(700, seed=5)
    worker.start().ready()
    running.taken_over(1)
    other = here.worker(**SETTINGS).start().ready()
    running.rate(700, seed=6)
    running.assert_learned(worker, other, model=OTHER)
    worker.kill()
    running.rate(700, seed=7)
    running.assert_learned(other, model=OTHER)
    # Back again, by the settings that all have.
    assert running.retrain("--tolerance", "1").exit_code == 0
    running.taken_over(other.log.count("takes over hand-over") + 1, other)
    running.rate(700, seed=8)
    running.assert_learned(other)


def test_arms_are_handed_over_with_their_shares(running: Running) -> None:
    worker, here = running.worker, running.installation
    arms = "popular:0,item-knn:1"
    refused = running.retrain("--arms", arms)
    assert "the recommendations log would be turned on" in str(refused.exception)
    worker.stop()
    logging = here.worker(**SETTINGS, recommendations_log="on").start().ready()
    result = running.retrain("--arms", arms, "--tolerance", "1", recommendations_log="on")
    assert result.exit_code == 0, result.output
    running.taken_over(1, logging)
    assert logging.status()["arms"] == {"popular": 0.0, "item-knn": 1.0}
    with asking(here.kafka, here.topics) as asker:
        assert running.models(asker) == {"item-knn"}
    running.rate(300, seed=5)
    Oracle(here, arms="popular:1,item-knn:1", test_every="3").assert_agrees(logging)


def test_what_a_worker_cannot_change_while_it_runs_is_refused(running: Running) -> None:
    refused = running.retrain("--tolerance", "1", feedback="positive:3")
    assert "RECOMMENDER_FEEDBACK was 'graded:4' and would be 'positive:3'" in str(refused.exception)
    refused = running.retrain(model="random")
    assert refused.exit_code == 1
    assert "nothing was handed over" in refused.stderr
    here = running.installation
    assert handover.read(here.checkpoints, here.topics.journal) is None
    assert list((here.checkpoints / handover.FOLDER).rglob("*.npz")) == []


def test_a_checkpoint_that_the_log_does_not_give_is_replaced_only_when_asked(running: Running) -> None:
    here, worker = running.installation, running.worker
    worker.stop()
    found = newest_checkpoint(here.checkpoints, here.topics, 0)
    identity = Identity(
        **{name: found.header[name] for name in ("topic", "topic_id", "partitions", "settings")}
    )
    wrong = found.state | {"popular/counts": found.state["popular/counts"] + 1}
    CheckpointStore(here.checkpoints, identity).save(0, found.offset, wrong)
    worker.start().ready()
    refused = running.retrain()
    assert refused.exit_code == 1
    assert "is not what the journal and its settings give" in refused.stderr
    repaired = running.retrain("--repair")
    assert repaired.exit_code == 0, repaired.output
    running.taken_over(1)
    running.rate(300, seed=5)
    running.assert_learned()


def test_a_schedule_counts_ratings_and_stops_when_asked(running: Running) -> None:
    here = running.installation
    schedule = here.worker(**SETTINGS)
    command = ("recommender", "retrain")

    def handed_over() -> int:
        return schedule.log.count("Handed over")

    schedule.start("--every", "500", command=command)
    wait_until(lambda: handed_over() == 1, PATIENCE, schedule.log)
    running.taken_over(1)
    running.rate(300, seed=5)
    running.assert_learned()
    assert handed_over() == 1, schedule.log
    # Stopped and started again it counts on.
    schedule.stop()
    assert schedule.log.rstrip().endswith("Stopped")
    schedule.start("--every", "500", command=command)
    running.rate(200, seed=6)
    wait_until(lambda: handed_over() == 2, PATIENCE, schedule.log)
    schedule.stop()
    assert "Traceback" not in schedule.log
    running.taken_over(2)
    running.assert_learned()
