"""A bounded journal: what is old and in all kept checkpoints is deleted, and nothing else."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kafka import KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from recommender.cli.main import recommender
from recommender.journal.block import Packer, Source
from recommender.journal.fingerprint import fingerprint
from recommender.kafka.admin import open_admin
from recommender.kafka.network import Network
from recommender.settings import SettingsError, load
from recommender.worker.app import create_app
from tests.support.journal_log import reading
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, generated
from tests.support.workers import PATIENCE, Installation, Worker, installed
from tests.unit.journal.blocks import Row, columns

SETTINGS = {"model": "popular", "test_every": "3", "journal_retention": "1"}
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def installation(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A journal whose blocks have their writers' times, so that a test can write one of later."""
    with installed(kafka, tmp_path_factory.mktemp("retention"), "retention") as made:
        changes = {
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": str(100 * DAY_MS),
        }
        with open_admin(kafka, 10) as admin:
            admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, made.topics.journal, changes)])
        yield made


def begin(here: Installation) -> int:
    with reading(here.kafka) as consumer:
        topic = TopicPartition(here.topics.journal, 0)
        return int(consumer.beginning_offsets([topic])[topic])


def write_later(here: Installation, days: float, user: str = "later") -> int:
    """Write a block of a source of its own some days from now; its offset in the journal."""
    rows, offsets = columns([Row(0, user, "i1", 5.0, 1e9)])
    source = Source(user.encode().ljust(16, b"-"), 0)
    value = Packer(source, fingerprint(0.5, 5.0, skips=False)).pack(0, 1, rows, offsets)
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=here.kafka)
    try:
        stamp = int(time.time() * 1000 + days * DAY_MS)
        return int(producer.send(here.topics.journal, value, timestamp_ms=stamp).get(30).offset)
    finally:
        producer.close()


def run(here: Installation, *arguments: str, **given: str) -> Result:
    values = {
        "broker": here.kafka,
        "topic_prefix": here.topics.prefix,
        "checkpoints": str(here.checkpoints),
        **SETTINGS,
        **given,
    }
    environment = {f"RECOMMENDER_{name.upper()}": value for name, value in values.items()}
    return CliRunner(env=environment).invoke(recommender, arguments)


def offsets(place: Path, here: Installation) -> list[int]:
    return sorted(int(each.stem) for each in (place / f"{here.topics.journal}-0").glob("*.npz"))


def settled(here: Installation, worker: Worker, oracle: Oracle) -> None:
    """Wait until all is learned and saved."""
    oracle.look()
    wait_until(lambda: worker.is_settled({0: oracle.replica.position}), PATIENCE, worker.log)


def test_what_is_old_and_saved_is_deleted(installation: Installation) -> None:
    here, worker = installation, installation.worker(**SETTINGS)
    produce(here.kafka, here.topics.ratings, generated(3000))
    worker.start().ready()
    oracle = Oracle(here, test_every="3", model="popular")
    oracle.assert_agrees(worker)
    assert begin(here) == 0  # nothing is old
    later = write_later(here, 3)
    settled(here, worker, oracle)
    # Now all before it is old, but one more checkpoint is kept, which needs what came after it.
    produce(here.kafka, here.topics.ratings, generated(100, seed=2))
    wait_until(lambda: begin(here) > 0, PATIENCE, worker.log)
    assert begin(here) <= min(offsets(here.checkpoints, here))
    assert begin(here) <= later
    assert "older than 1 days and in all kept checkpoints: deleted" in worker.log
    oracle.assert_followed(worker)
    worker.stop()
    # It continues from its checkpoint.
    worker.start().ready()
    produce(here.kafka, here.topics.ratings, generated(100, seed=3))
    oracle.assert_agrees(worker)
    worker.stop()


def test_a_new_worker_needs_a_checkpoint(installation: Installation, tmp_path: Path) -> None:
    here, first = installation, begin(installation)
    assert first > 0
    alone = here.worker(**SETTINGS, checkpoints=tmp_path / "own").start()
    assert alone.exit_code() == 2
    sentence = alone.log.rstrip().splitlines()[-1]
    assert f"begins at offset {first}" in sentence
    assert "There is no checkpoint to begin with: set RECOMMENDER_CHECKPOINTS" in sentence
    shutil.copytree(here.checkpoints, tmp_path / "own", dirs_exist_ok=True)
    alone.start().ready()
    alone.stop()


def test_retraining_says_how_far_back_it_learns(installation: Installation) -> None:
    refused = run(installation, "retrain", model="item-knn")
    assert re.search(
        r"begins at offset \d+, written 20\d\d-\d\d-\d\d \d\d:\d\d UTC: what came before is no longer",
        str(refused.exception),
    )
    told = run(installation, "retrain", "--allow-gap", "--tolerance", "1")
    assert told.exit_code == 0, told.output
    assert "Learned from 20" in told.output
    assert "running workers still know" in told.output


def test_the_journal_can_be_looked_into(installation: Installation, tmp_path: Path) -> None:
    first = begin(installation)
    told = run(installation, "journal", "verify")
    assert told.exit_code == 0, told.output
    assert f"begins at offset {first}: what came before is deleted" in told.output
    told = run(installation, "journal", "show", "--limit", "1")
    assert f'"offset":{first},' in told.output
    told = run(installation, "journal", "export", "--to", str(tmp_path / "ratings.jsonl"))
    assert told.exit_code == 0, told.output
    assert len((tmp_path / "ratings.jsonl").read_text().splitlines()) > 0


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("-1", "RECOMMENDER_JOURNAL_RETENTION has value '-1': must be at least 0"),
        ("x", "RECOMMENDER_JOURNAL_RETENTION has value 'x': not a number"),
        ("nan", "RECOMMENDER_JOURNAL_RETENTION has value 'nan': not a finite number"),
    ],
)
def test_a_time_that_cannot_be(value: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load({"RECOMMENDER_JOURNAL_RETENTION": value})
    assert str(raised.value) == told


def test_a_time_that_is_too_short(installation: Installation) -> None:
    here = installation
    config = load(
        {
            "RECOMMENDER_BROKER": here.kafka,
            "RECOMMENDER_TOPIC_PREFIX": here.topics.prefix,
            "RECOMMENDER_JOURNAL_RETENTION": "0.01",
        }
    )
    with pytest.raises(SettingsError) as raised:
        create_app(config)
    told = "RECOMMENDER_JOURNAL_RETENTION has value '0.01': must be 0, or at least 0.0417 days"
    assert str(raised.value) == told
