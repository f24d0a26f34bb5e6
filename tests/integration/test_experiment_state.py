"""The report of an experiment that goes on from a file: what was read before is not read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kafka import TopicPartition

from recommender.kafka.admin import open_admin
from recommender.kafka.topics import Topics, identify
from tests.integration.experiment_logs import (
    START,
    Rate,
    Report,
    make_topics,
    rating_into,
    report_of,
    simulated,
)
from tests.support.kafka import create_topics, delete_topics, produce, wait_until


@pytest.fixture
def topics(kafka: str, topic_prefix: str) -> Topics:
    return make_topics(kafka, topic_prefix)


@pytest.fixture
def rate(kafka: str, topics: Topics) -> Rate:
    return rating_into(kafka, topics)


@pytest.fixture
def run(kafka: str, topic_prefix: str) -> Report:
    return report_of(kafka, topic_prefix)


def test_a_daily_report_reads_only_what_is_new(
    kafka: str, topics: Topics, rate: Rate, run: Report, tmp_path: Path
) -> None:
    state, told = tmp_path / "state.npz", tmp_path / "report.json"
    for days in (range(4), range(4, 40, 12), range(40, 43)):
        lists, ratings, _ = simulated(days)
        # One log is written before the other, and read before the other is.
        produce(kafka, topics.recommendations, lists)
        assert run("--json", told, "--state", state)[0] == 0
        rate(ratings)
        code, out, err = run("--json", told, "--state", state)
        assert (code, err) == (0, "")
        assert "Experiment default" in out
        with_state = json.loads(told.read_text())
        assert run("--json", told)[0] == 0
        anew = json.loads(told.read_text())
        assert with_state == anew
    # The last one has nothing to read.
    assert run("--json", told, "--state", state)[0] == 0
    assert json.loads(told.read_text()) == anew
    assert sum(each["attributed"] for each in anew["arms"]) == 60 * 3 * (4 + 3 + 3)


def test_a_state_that_does_not_fit(
    kafka: str, topics: Topics, rate: Rate, run: Report, tmp_path: Path
) -> None:
    lists, ratings, _ = simulated(range(1))
    produce(kafka, topics.recommendations, lists)
    rate(ratings)
    state = tmp_path / "state.npz"
    assert run("--state", state)[0] == 0
    whole = state.read_bytes()
    code, _, err = run("--state", state, "--window", "1d")
    assert code == 2
    assert "does not fit: window was 604800.0, now 86400.0." in err
    place = len(whole) // 2
    for broken in (
        b"nonsense",
        whole[:place],
        whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
    ):
        state.write_bytes(broken)
        code, _, err = run("--state", state)
        assert code == 2
        assert "damaged" in err
        assert err.count("\n") == 1
        assert state.read_bytes() == broken
    state.write_bytes(whole)
    delete_topics(kafka, topics.journal)
    create_topics(kafka, topics.journal, partitions=2)
    code, _, err = run("--state", state)
    assert code == 2
    assert "does not fit: topics was [" in err


def test_a_journal_that_has_lost_its_beginning(
    kafka: str, topics: Topics, rate: Rate, run: Report, tmp_path: Path
) -> None:
    """What is left counts, and so does what comes then."""
    lists, ratings, expected = simulated(range(1))
    produce(kafka, topics.recommendations, lists)
    rate([("before", "x", 5.0, START)])
    with open_admin(kafka) as admin:
        admin.delete_records({TopicPartition(topics.journal, partition): -1 for partition in range(2)})
    for state in (tmp_path / "state.npz", tmp_path / "state.npz", tmp_path / "other.npz"):
        some, ratings = ratings[:90], ratings[90:]
        if some:
            rate(some)
        code, out, err = run("--state", state, "--json", "-")
        assert (code, err) == (0, "")
    counted = {each["name"]: [each["attributed"], each["positive"]] for each in json.loads(out)["arms"]}
    assert counted == expected


def test_the_log_may_get_partitions(
    kafka: str, topics: Topics, rate: Rate, run: Report, tmp_path: Path
) -> None:
    state = tmp_path / "state.npz"
    for days in (range(2), range(2, 4)):
        if days.start:
            with open_admin(kafka) as admin:
                admin.create_partitions({topics.recommendations: 5})
            wait_until(lambda: identify(kafka, topics.recommendations).partitions == 5)
        lists, ratings, _ = simulated(days)
        produce(kafka, topics.recommendations, lists)
        rate(ratings)
        code, out, err = run("--state", state, "--json", "-")
        assert (code, err) == (0, "")
    told = json.loads(out)
    assert len(told["read"]["recommendations"]["offsets"]) == 5
    assert sum(each["attributed"] for each in told["arms"]) == 60 * 3 * 4
    assert json.loads(run("--json", "-")[1]) == told


def test_records_that_expired_unread_are_told(
    kafka: str, topics: Topics, run: Report, tmp_path: Path
) -> None:
    lists, _, _ = simulated(range(1))
    produce(kafka, topics.recommendations, lists)
    assert run("--state", tmp_path / "state.npz")[0] == 0
    written = produce(kafka, topics.recommendations, lists)
    last = max(offset for partition, offset in written if partition == 0)
    with open_admin(kafka) as admin:
        admin.delete_records({TopicPartition(topics.recommendations, 0): last})
    code, _, err = run("--state", tmp_path / "state.npz")
    assert code == 0
    assert f"Note: {topics.recommendations}[0]: offsets " in err
    assert f"to {last - 1} expired before they were read" in err
