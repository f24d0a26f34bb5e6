"""The examples that talk to a worker, against a real one."""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from recommender.client import Client
from tests.support.examples import EXAMPLES, blocks_of, run_example
from tests.support.workers import Installation, Worker, installed

TOKEN = "only for examples"


@pytest.fixture(scope="module")
def installation(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A worker on three partitions."""
    with installed(kafka, tmp_path_factory.mktemp("examples"), "examples", partitions=3) as made:
        made.worker(web_token=TOKEN).start().ready()
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


def test_over_http(installation: Installation) -> None:
    (worker,) = installation.workers
    said = run_example("over_http", web_port=str(worker.port), web_token=TOKEN)
    assert re.search(r"the last rating is at offset \d+ of partition [012]\n", said)
    assert re.search(r"for cat: \['milk'", said)
    assert re.search(r"like tea: \['milk'", said)
    assert re.search(r"for a guest who likes tea: \['milk'", said)
    assert "refused (bad_request): n must be between 1 and 1000, got 0" in said


def test_over_http_from_other_programs(installation: Installation) -> None:
    """With curl and with Node.js, where they are."""
    (worker,) = installation.workers
    run_example("over_http", web_port=str(worker.port), web_token=TOKEN)
    for program, name, expected in (
        ("curl", "over_http.sh", '"tea"'),
        ("node", "over_http.mjs", "for ann: "),
    ):
        if shutil.which(program):
            said = told_by(program if program == "node" else "sh", name, worker)
            assert expected in said, said


def told_by(program: str, name: str, worker: Worker) -> str:
    environment = {**os.environ, "RECOMMENDER_WEB_PORT": str(worker.port), "RECOMMENDER_WEB_TOKEN": TOKEN}
    command = [program, str(EXAMPLES / name)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


ADDRESS = 'Client("localhost:9092")'


def documented() -> dict[str, str]:
    """The code with the client that stands in documents and in its docstring, by where it stands."""
    pages = [EXAMPLES.parent / "README.md", *sorted((EXAMPLES.parent / "docs").glob("*.md"))]
    blocks = {page.name: each for page in pages for each in blocks_of(page) if ADDRESS in each}
    (example,) = doctest.DocTestParser().get_examples(Client.__doc__ or "")
    return blocks | {"docstring": "from recommender.client import Client\n" + example.source}


@pytest.mark.parametrize("place", documented())
def test_what_the_documents_show(
    installation: Installation, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the address and the topics of this run."""
    program = documented()[place]
    assert program.count(ADDRESS) == 1
    ours = f"Client({installation.kafka!r}, {installation.topics.prefix!r})"
    with Client(installation.kafka, installation.topics.prefix) as client:
        client.recommend("7", after=client.rate("7", "60", 5))
    exec(compile(program.replace(ADDRESS, ours), f"<{place}>", "exec"), {})
    assert "60" in capsys.readouterr().out
