"""The replay command: its exit codes, what it says, and how it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics, ensure
from recommender.messages.ratings import RatingDecoder
from tests.support.commands import run_command
from tests.support.kafka import consume_all, wait_until

ROOT = Path(__file__).parents[2]
COUNT = 1200
MakeTopics = Callable[..., Topics]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The ratings as a file, with the later half first."""
    path = tmp_path / "u.data"
    lines = [f"user {n % 40}\t{n}\t{n % 10 / 2}\t{1000 + n}\n" for n in range(COUNT)]
    path.write_text("".join(lines[600:] + lines[:600]), encoding="utf-8")
    return path


class Command:
    """``python -m producers.replay`` as a process of its own."""

    def __init__(self, *arguments: object, **settings: str) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RECOMMENDER_")}
        environment |= {f"RECOMMENDER_{name.upper()}": value for name, value in settings.items()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "producers.replay", *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=90)
        assert "Traceback" not in err, err
        return self.process.returncode, out, err


@pytest.fixture
def start() -> Iterator[Callable[..., Command]]:
    """Start the command as a process; whatever is left of it ends with the test."""
    started: list[Command] = []

    def start(*arguments: object, **settings: str) -> Command:
        started.append(Command(*arguments, **settings))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def run(*arguments: object, **settings: str) -> tuple[int, str, str]:
    """Run ``recommender replay`` to its end: exit code, standard output and standard error."""
    return run_command(
        "replay", *arguments, **{f"RECOMMENDER_{name.upper()}": value for name, value in settings.items()}
    )


def test_the_command_replays_in_time_order(
    kafka: str, make_topics: MakeTopics, source: Path, start: Callable[..., Command]
) -> None:
    topic = make_topics().ratings
    code, out, _ = start(source, "--broker", kafka, "--topic", topic, "--skip", 10, "--limit", 1000).end()
    assert code == 0
    assert "Done" in out
    assert f"1,000 delivered to {topic} at {kafka}, 0 failed" in out
    assert _items(kafka, topic) == list(range(10, 1010))


def test_the_command_replays_in_the_order_of_the_file(
    kafka: str, make_topics: MakeTopics, source: Path
) -> None:
    topic = make_topics().ratings
    options = ["--topic", topic, "--order", "file", "--skip", 100, "--limit", 700]
    assert run(source, "--broker", kafka, *options)[0] == 0
    assert _items(kafka, topic) == [*range(700, 1200), *range(200)]


def test_a_dump_of_a_source_is_mapped(kafka: str, tmp_path: Path, make_topics: MakeTopics) -> None:
    topics = make_topics(2)
    dump, file = tmp_path / "clicks.jsonl", tmp_path / "sources.toml"
    clicks = [{"u": n, "sku": "a", "kind": "buy" if n else "scroll", "at": 1_700_000_000} for n in range(5)]
    dump.write_text("\n".join(map(json.dumps, [*clicks, {"kind": "buy"}])), "utf-8")
    file.write_text(
        "[clicks]\nuser = 'u'\nitem = 'sku'\nevent = 'kind'\ntime = 'at'\n[clicks.events]\nbuy = 5", "utf-8"
    )
    code, out, err = run(dump, "--broker", kafka, "--topic", topics.ratings, "--sources", file)
    assert (code, "4 delivered" in out) == (0, True), out
    assert f"{dump}: 1 records are skipped: 1 event_not_listed" in err
    assert "1 records are rejected: 1 times Object missing required field - at `$.u`" in err
    decode = RatingDecoder(0.5, 5).decode
    found = {decode(each.value) for each in consume_all(kafka, topics.ratings)}
    assert found == {(str(n), "a", 5.0, 1.7e9) for n in range(1, 5)}


def test_ctrl_c_flushes_and_says_how_to_continue(
    kafka: str, make_topics: MakeTopics, source: Path, start: Callable[..., Command]
) -> None:
    topic = make_topics().ratings
    options = ["--broker", kafka, "--topic", topic]
    command = start(source, *options, "--rate", 50)
    wait_until(lambda: consume_all(kafka, topic), message="the first rating")
    command.process.send_signal(signal.SIGINT)
    code, out, _ = command.end()
    assert code == 130
    found = re.search(r"Stopped .* ([\d,]+) delivered .*, 0 failed\. --skip (\d+) continues", out)
    assert found, out
    delivered = int(found[1].replace(",", ""))
    assert 0 < delivered < COUNT
    assert _items(kafka, topic) == list(range(delivered))
    assert start(source, *options, "--skip", found[2]).end()[0] == 0
    assert _items(kafka, topic) == list(range(COUNT))


def test_failed_ratings_are_counted_and_exit_1(kafka: str, unique: str, tmp_path: Path) -> None:
    with open_admin(kafka) as admin:
        size = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "400"}}
        admin.create_topics({unique: size})
        admin.wait_for_topics([unique])
    path = tmp_path / "u.data"
    path.write_text("a\t1\t3\t1\n" + "b" * 250 + "\t2\t3\t2\nc\t3\t3\t3\n")
    code, out, _ = run(path, "--broker", kafka, "--topic", unique)
    assert code == 1
    assert "2 delivered" in out
    assert "1 failed" in out
    assert "MessageSizeTooLargeError" in out
    assert _items(kafka, unique) == [1, 3]


def test_a_broker_that_dies_is_counted_honestly(tmp_path: Path, start: Callable[..., Command]) -> None:
    path = tmp_path / "u.data"
    path.write_text("".join(f"{n % 9}\t{n}\t3\t{n}\n" for n in range(50_000)))
    with LocalBroker() as broker:
        topic = Topics().ratings
        ensure(broker.address, Topics(), partitions=2)
        command = start(path, "--broker", broker.address, "--rate", 500, "--delivery-timeout", 2)
        wait_until(lambda: consume_all(broker.address, topic), message="the first rating")
        broker.kill()
        code, out, _ = command.end()
        broker.restart()
        records = consume_all(broker.address, topic)
    assert code == 1
    found = re.search(r"Gave up .* ([\d,]+) delivered .*, ([\d,]+) failed\..* --skip (\d+) continues", out)
    assert found, out
    delivered, failed, skip = (int(each.replace(",", "")) for each in found.groups())
    assert failed > 0
    # What was written while its confirmation was lost is there, and counted as failed.
    assert delivered <= len(records) <= delivered + failed
    items = {int(json.loads(each.value)["item"]) for each in records}
    assert len(items) == len(records)
    assert items >= set(range(skip))


@pytest.mark.parametrize("order", ["time", "file"])
def test_a_bad_line_is_named_with_what_was_delivered(
    kafka: str, make_topics: MakeTopics, tmp_path: Path, order: str
) -> None:
    topic = make_topics().ratings
    path = tmp_path / "u.data"
    path.write_text("a\t1\t3\t1\nb\t2\tx\t2\n")
    code, out, err = run(path, "--broker", kafka, "--topic", topic, "--order", order)
    assert (code, out) == (2, "")
    assert f"Error: {path} line 2: rating 'x' is not a number" in err
    # In time order nothing is sent before the whole file was read.
    assert ("Delivered before that: 1." in err) == (order == "file")
    assert len(consume_all(kafka, topic)) == (order == "file")


@pytest.mark.parametrize("order", ["time", "file"])
def test_a_file_in_milliseconds_is_refused_with_its_line(
    kafka: str, make_topics: MakeTopics, tmp_path: Path, order: str
) -> None:
    topic = make_topics().ratings
    path = tmp_path / "f.csv"
    rows = [f"{n % 9},{n},3,{881250949000 + n}\n" for n in range(60)]
    path.write_text("user,item,rating,timestamp\n" + "".join(rows))
    options = ["--broker", kafka, "--topic", topic, "--order", order]
    code, out, err = run(path, *options)
    assert (code, out) == (2, "")
    assert err.startswith(
        f"Error: {path} line 2: timestamp must be in seconds since 1970, at most 32503680000"
    )
    assert "got 881250949000, which looks like milliseconds; --time-unit ms reads them" in err
    assert consume_all(kafka, topic) == []
    code, out, _ = run(path, *options, "--time-unit", "ms")
    assert code == 0
    assert "60 delivered" in out
    decode = RatingDecoder(0.5, 5).decode
    times = [decode(each.value).timestamp for each in consume_all(kafka, topic)]
    assert times == [(881250949000 + n) / 1000 for n in range(60)]


def test_what_the_worker_would_refuse_ends_the_replay_where_it_stands(
    kafka: str, make_topics: MakeTopics, tmp_path: Path
) -> None:
    topic = make_topics().ratings
    path = tmp_path / "u.data"
    path.write_text("a\t1\t3\t1\nb\t2\t1\t2\nc\t3\t7\t3\n")
    options = ["--broker", kafka, "--topic", topic, "--order", "file"]
    code, out, err = run(path, *options)
    assert (code, out) == (2, "")
    assert f"{path} line 3: rating must be between -1 and 5, got 7; RECOMMENDER_FEEDBACK" in err
    assert "Delivered before that: 2." in err
    code, _, err = run(path, *options, "--skip", 2, feedback="signed")
    assert code == 2
    assert f"{path} line 1: rating must be between -1 and 1, got 3" in err
    code, out, _ = run(path, *options, "--skip", 2, rating_max="10")
    assert (code, "1 delivered" in out) == (0, True)
    assert _items(kafka, topic) == [1, 2, 3]


def test_lines_of_the_ratings_topic_are_replayed_as_they_were(
    kafka: str, make_topics: MakeTopics, tmp_path: Path
) -> None:
    topic = make_topics().ratings
    lines = [
        {"user": "a\rb", "item": "1", "rating": 5, "timestamp": 7},
        {"user": "é", "item": 'a\n\n"b"', "rating": 3.5, "timestamp": 8},
        {"user": "a\rb", "item": "1", "rating": None, "timestamp": 9},
    ]
    path = tmp_path / "ratings.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    code, out, _ = run(path, "--broker", kafka, "--topic", topic)
    assert (code, "3 delivered" in out) == (0, True)
    assert [json.loads(each.value) for each in consume_all(kafka, topic)] == lines


def test_line_ends_of_old_macs_and_a_file_without_ratings(
    kafka: str, make_topics: MakeTopics, tmp_path: Path
) -> None:
    topic = make_topics().ratings
    path = tmp_path / "f.csv"
    path.write_bytes(b"user,item,weight\r1,2,17\r3,4,5\r")
    code, out, err = run(path, "--broker", kafka, "--topic", topic)
    assert (code, "2 delivered" in out) == (0, True)
    assert f"{path} has no column of ratings: each line counts as 1" in err
    assert _items(kafka, topic) == [2, 4]


def test_help_shows_no_marks_of_its_own() -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert "\\" not in out
    assert "\b" not in out
    assert "Exit codes: 0 all delivered, 1 some were not" in out


def test_what_cannot_be_done_is_one_sentence_and_exit_2(kafka: str, unique: str, source: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    cases: list[tuple[list[Any], str]] = [
        ([source, "--broker", kafka, "--topic", unique], f"There is no topic {unique} at {kafka}"),
        ([source, "--broker", nowhere], f"No Kafka broker answers at {nowhere}"),
        ([source, "--broker", "here"], "Broker address 'here': expected HOST:PORT"),
        ([source.parent / "gone", "--broker", kafka], "gone does not exist"),
        (["ml-101k", "--broker", kafka], "ml-101k does not exist: expected a rating file, or ml-100k"),
    ]
    for arguments, expected in cases:
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("Error: ")
        assert expected in err
        assert err.count("\n") == 1


def test_speed_without_timestamps_is_refused(kafka: str, make_topics: MakeTopics, tmp_path: Path) -> None:
    path = tmp_path / "u.data"
    path.write_text("a\t1\t3\n")
    code, _, err = run(path, "--broker", kafka, "--topic", make_topics().ratings, "--speed", 2)
    assert code == 2
    assert err == "Error: The ratings have no timestamps, which speed 2 needs\n"


def _items(kafka: str, topic: str) -> list[int]:
    """The items of a topic's ratings, in the order of its log."""
    return [int(json.loads(each.value)["item"]) for each in consume_all(kafka, topic)]
