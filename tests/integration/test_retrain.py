"""`recommender retrain` beside real workers: what it compares, what it refuses, and handing over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.cli.retrain import retrain
from recommender.errors import RecommenderError
from recommender.kafka.topics import Topics
from tests.support.asking import Asker, asking
from tests.support.kafka import produce
from tests.support.worker_logs import Oracle, generated, newest_checkpoint
from tests.support.workers import Installation, Worker, installed

PARTITIONS = 2
#: Many tests, so that recalls say something.
SETTINGS = {"model": "popular", "test_every": "3"}
OTHER = "item-knn"


class Running(NamedTuple):
    """Two workers and what they were started with."""

    installation: Installation
    workers: tuple[Worker, Worker]

    def retrain(self, to: Path, *options: str, **given: str) -> Result:
        """Run the command with the workers' settings, and these instead."""
        here = self.installation
        values = {
            "broker": here.kafka,
            "topic_prefix": here.topics.prefix,
            "group": here.group,
            "checkpoints": str(here.checkpoints),
            **SETTINGS,
            **given,
        }
        environment = {f"RECOMMENDER_{name.upper()}": value for name, value in values.items()}
        return CliRunner().invoke(retrain, ["--to", str(to), *options], env=environment)


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with installed(kafka, tmp_path_factory.mktemp("retrain"), "retrain", PARTITIONS) as installation:
        produce(kafka, installation.topics.ratings, generated(6000, seed=3, users=120, items=150))
        # A record that is no rating: its dead letter is there already, and must not come twice.
        produce(kafka, installation.topics.ratings, [b"not a rating"])
        workers = tuple(installation.worker(**SETTINGS).start() for _ in range(2))
        for worker in workers:
            worker.ready()
        Oracle(installation, **SETTINGS).assert_agrees(*workers)
        yield Running(installation, (workers[0], workers[1]))


@contextmanager
def asked_meanwhile(asker: Asker) -> Iterator[None]:
    """Requests of each partition keep coming during what happens inside."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.05):
            for partition in range(PARTITIONS):
                asker.send({"user": "u1", "n": 3}, partition=partition)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.npz"))


def test_the_same_settings_give_the_same_state(running: Running, tmp_path: Path) -> None:
    result = running.retrain(tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "restart the workers" in result.output
    here = running.installation
    ours = newest_checkpoint(tmp_path / "new", here.topics, 0)
    theirs = newest_checkpoint(here.checkpoints, here.topics, 0)
    assert (ours.offset, ours.header["digest"]) == (theirs.offset, theirs.header["digest"])


def test_a_worse_model_is_refused_and_leaves_nothing(running: Running, tmp_path: Path) -> None:
    result = running.retrain(tmp_path / "new", model="random")
    assert result.exit_code == 1, result.output
    assert "recall@10 of random is 0." in result.stderr
    assert "worse by more than 0.01" in result.stderr
    assert files(tmp_path / "new") == []
    assert running.retrain(tmp_path / "new", "--tolerance", "1", model="random").exit_code == 0


def test_a_running_checkpoint_that_the_journal_does_not_give_is_noticed(
    running: Running, tmp_path: Path
) -> None:
    """As after a fault of the machine, or a log that was rewritten."""
    here = running.installation
    found = newest_checkpoint(here.checkpoints, here.topics, 0)
    folder = tmp_path / "running" / f"{here.topics.journal}-0"
    folder.mkdir(parents=True)
    state = found.state | {"popular/counts": found.state["popular/counts"] + 1}
    identity = Identity(
        **{name: found.header[name] for name in ("topic", "topic_id", "partitions", "settings")}
    )
    CheckpointStore(tmp_path / "running", identity).save(0, found.offset, state)
    result = running.retrain(tmp_path / "new", checkpoints=str(tmp_path / "running"))
    assert result.exit_code == 1, result.output
    assert "is not what the journal and its settings give" in result.stderr
    assert files(tmp_path / "new") == []


def test_where_new_checkpoints_cannot_go(running: Running, tmp_path: Path) -> None:
    here = running.installation
    refused = running.retrain(here.checkpoints)
    assert isinstance(refused.exception, RecommenderError)
    assert "is where the running checkpoints are" in str(refused.exception)
    assert running.retrain(tmp_path / "new").exit_code == 0
    before = files(tmp_path / "new")
    refused = running.retrain(tmp_path / "new")
    assert "already has checkpoints" in str(refused.exception)
    assert files(tmp_path / "new") == before
    assert "unknown model" in str(running.retrain(tmp_path / "other", model="nonsense").exception)


def test_an_empty_journal_is_nothing_to_learn_from(
    kafka: str, make_topics: Callable[..., Topics], tmp_path: Path
) -> None:
    topics = make_topics()
    environment = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topics.prefix}
    for target in (["--to", str(tmp_path / "new")], []):
        result = CliRunner().invoke(retrain, target, env=environment)
        assert isinstance(result.exception, RecommenderError)
        assert f"{topics.journal} holds no ratings yet" in str(result.exception)
        assert not list((tmp_path / "new").glob("**/*.npz"))


def test_handing_over_to_another_model_leaves_no_request_without_its_answer(
    running: Running, tmp_path: Path
) -> None:
    here, place = running.installation, tmp_path / "new"
    result = running.retrain(place, "--tolerance", "0.1", model=OTHER)
    assert result.exit_code == 0, result.output
    assert f"recall@10 of {OTHER} is 0." in result.output
    learned = newest_checkpoint(place, here.topics, 0).offset
    new = {**SETTINGS, "model": OTHER, "checkpoints": str(place)}
    with asking(here.kafka, here.topics) as asker:
        with asked_meanwhile(asker):
            # Ratings that came since: the new workers learn them from the journal.
            produce(here.kafka, here.topics.ratings, generated(500, seed=4, users=120, items=150))
            successors = []
            for old in running.workers:
                old.stop()  # meanwhile the other one answers
                successors.append(here.worker(**new).start().ready())
        replies = [asker.ask({"user": "u1", "n": 3}, partition=each) for each in range(PARTITIONS)]
        assert [reply.body["model"] for reply in replies] == [OTHER] * PARTITIONS
        asker.assert_one_reply_each()
        assert all(each[0].body["ok"] for each in asker.replies().values())
    replica = Oracle(here, **{**SETTINGS, "model": OTHER}).assert_agrees(*successors, checkpoints=place)
    assert replica.position > learned
    assert f"[0]: continues at offset {learned} from" in successors[0].log
