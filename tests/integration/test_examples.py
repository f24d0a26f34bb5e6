"""The examples that talk to a worker, against a real one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.examples import run_example
from tests.support.workers import Installation, installed


@pytest.fixture(scope="module")
def installation(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A worker on three partitions."""
    with installed(kafka, tmp_path_factory.mktemp("examples"), "examples", partitions=3) as made:
        made.worker().start().ready()
        yield made


def told(installation: Installation, name: str) -> str:
    """What an example prints."""
    return run_example(name, broker=installation.kafka, topic_prefix=installation.topics.prefix)


def test_with_the_client(installation: Installation) -> None:
    said = told(installation, "ask")
    assert re.search(r"the last rating is at offset \d+ of partition [012]\n", said)
    assert re.search(r"for cat: milk \(.*\), because of tea", said)
    assert re.search(r"again, as of block \d+ of the journal: \['milk'", said)
    assert re.search(r"like tea: \['milk'", said)
    assert "refused (bad_request): " in said


def test_with_nothing_but_kafka_and_json(installation: Installation) -> None:
    said = told(installation, "plain_kafka")
    assert re.search(r"for cat: \['milk'", said)
    assert re.search(r"as of \{'partition': [012], 'offset': \d+, 'journal': \d+\}", said)
