"""The reader of logs for proof ends where something is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner
from kafka import TopicPartition

from recommender.cli.retrain import retrain
from recommender.errors import RecommenderError
from recommender.kafka.admin import open_admin
from recommender.kafka.log_reader import LogLost, LogReader, LogRecord, Span, reading_logs
from recommender.kafka.topics import Topics
from tests.integration.transactions import Transactions
from tests.support.kafka import Record, delete_topics, produce, wait_until

#: Larger than what is fetched at once, which is a megabyte.
SOME = [b"x" * 300_000] * 12


@pytest.fixture
def reader(kafka: str) -> Iterator[LogReader]:
    with reading_logs(kafka, {}) as reader:
        yield reader


@pytest.fixture
def topic(make_topics: Callable[..., Topics]) -> str:
    return make_topics().ratings


def read_on(reader: LogReader, found: list[LogRecord]) -> None:
    """Read until that fails."""
    while True:
        found += reader.read(100)


def test_all_of_it_in_order(kafka: str, topic: str, reader: LogReader) -> None:
    written = [Record(b"%d" % place, b"k", [("name", b"v")], timestamp_ms=5 + place) for place in range(10)]
    produce(kafka, topic, written)
    reader.start(topic, 0, 2)
    found: list[LogRecord] = []
    while reader.position < 10:
        found += reader.read(3)
    assert [each.offset for each in found] == list(range(2, 10))
    assert found[0] == LogRecord(topic, 0, 2, 7, b"k", b"2", [("name", b"v")])


def test_retention_overtakes_the_reading(kafka: str, topic: str, reader: LogReader) -> None:
    produce(kafka, topic, SOME)
    reader.start(topic, 0, 0)
    (first,) = reader.read(1)
    assert first.offset == 0
    with open_admin(kafka, 10) as admin:
        admin.delete_records({TopicPartition(topic, 0): len(SOME)})
    found = [first]
    with pytest.raises(LogLost) as raised:
        read_on(reader, found)
    read = len(found)
    assert str(raised.value) == (
        f"{topic}[0] has lost offset {read}, which comes next: it begins at offset {len(SOME)}, so retention "
        "has overtaken the reading"
    )
    assert read < len(SOME)


def test_a_log_that_was_cut_off(kafka: str, topic: str, reader: LogReader) -> None:
    produce(kafka, topic, [b"x"] * 3)
    reader.start(topic, 0, 7)
    said = f"{topic}[0] has lost offset 7, which comes next: it was cut off, and ends at offset 3 now"
    with pytest.raises(LogLost, match=re.escape(said)):
        reader.read(1)


def test_spans(kafka: str, topic: str, reader: LogReader) -> None:
    produce(kafka, topic, [b"x"] * 3)
    with open_admin(kafka, 10) as admin:
        admin.delete_records({TopicPartition(topic, 0): 1})
    transactions = Transactions(kafka)
    with transactions.open():
        transactions.send(topic, b"x", "k")
        produce(kafka, topic, [b"x"])
        assert reader.spans(topic, [0]) == [Span(1, 3, 5)]
    # Brokers write the mark of an abort after they have acknowledged it.
    wait_until(lambda: reader.spans(topic, [0]) == [Span(1, 6, 6)], message="the transaction is still open")


def test_a_topic_that_goes_away(kafka: str, topic: str) -> None:
    produce(kafka, topic, SOME)
    with reading_logs(kafka, {}, patience=2.0) as reader:
        reader.start(topic, 0, 0)
        reader.read(1)
        delete_topics(kafka, topic)
        with pytest.raises(RecommenderError, match=re.escape(f"{topic}[0] at offset")):
            read_on(reader, [])


def test_retrain_says_it_in_a_sentence(
    kafka: str, topic: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log loses its beginning between the look at where it begins and the reading."""
    prefix = topic.removesuffix("ratings")
    journal = Topics(prefix).journal
    produce(kafka, journal, [b"block"] * 5)
    look = LogReader.spans

    def spans(reader: LogReader, *asked: object) -> list[Span]:
        found = look(reader, *asked)  # type: ignore[arg-type]
        with open_admin(kafka, 10) as admin:
            admin.delete_records({TopicPartition(journal, 0): 3})
        return found

    monkeypatch.setattr(LogReader, "spans", spans)
    environment = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": prefix}
    done = CliRunner().invoke(retrain, ["--to", f"{tmp_path}/new"], env=environment)
    assert isinstance(done.exception, LogLost)
    assert "begins at offset 3, so retention has overtaken the reading" in str(done.exception)
