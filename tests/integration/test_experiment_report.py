"""The report of an experiment, from two topics that no worker has to be there for."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from kafka import TopicPartition

from recommender.journal.block import Packer, Source
from recommender.journal.fingerprint import fingerprint
from recommender.kafka.admin import open_admin
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics, ensure, identify
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from recommender.shard.arms import Arms
from tests.support.commands import run_command
from tests.support.kafka import Record, create_topics, delete_topics, produce, wait_until
from tests.unit.journal.blocks import TOPIC, Row, columns

ROOT = Path(__file__).parents[2]
START = 1_700_000_000
DAY = 86_400
Rated = tuple[str, str, float | None, float]
Rate = Callable[[Sequence[Rated]], None]
Report = Callable[..., tuple[int, str, str]]


@pytest.fixture
def topics(kafka: str, topic_prefix: str) -> Topics:
    """A journal of two partitions, and a recommendations log of three."""
    made = Topics(topic_prefix)
    create_topics(kafka, made.recommendations, partitions=3)
    ensure(kafka, made, 2, journal_partitions=2)
    return made


@pytest.fixture
def rate(kafka: str, topics: Topics) -> Rate:
    """Write ratings into the journal as workers do, some blocks twice."""
    offset = 0
    packer = Packer(Source(TOPIC, 0), fingerprint(0.5, 5.0, skips=False), 2)

    def write(ratings: Sequence[Rated]) -> None:
        nonlocal offset
        rows, offsets = columns([Row(place, *each) for place, each in enumerate(ratings, offset)])
        blocks: list[Record] = []
        for _, values in packer.pack_range(offset, offset + len(ratings), rows, offsets):
            blocks += [Record(value, partition=partition) for partition, value in enumerate(values)]
        offset += len(ratings)
        produce(kafka, topics.journal, blocks + blocks[-2:])

    return write


@pytest.fixture
def run(kafka: str, topic_prefix: str) -> Report:
    """Run ``recommender experiment report`` to its end: exit code, standard output and standard error."""

    def run(*arguments: object, broker: str = kafka, **environment: str) -> tuple[int, str, str]:
        settings = {"RECOMMENDER_BROKER": broker, "RECOMMENDER_TOPIC_PREFIX": topic_prefix, "COLUMNS": "80"}
        return run_command("experiment", "report", *arguments, **settings | environment)

    return run


def run_as_process(kafka: str, prefix: str, *arguments: object) -> tuple[int, str, str]:
    """Run it as a script does: exit code, standard output and standard error."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECOMMENDER_")}
    done = subprocess.run(
        [sys.executable, "-m", "recommender", "experiment", "report", *map(str, arguments)],
        cwd=ROOT,
        env=inherited | {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": prefix},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def shown(
    user: str,
    request: str,
    arm: str,
    time: float,
    items: list[str],
    name: str = "default",
    forced: bool = False,
) -> Record:
    sources = ["exploit", "exploit", "explore"]
    places = [
        LoggedPlace(item, source, position)
        for position, (item, source) in enumerate(zip(items, sources, strict=False))
    ]
    logged = LoggedRecommendation(user, request, name, arm, f"{arm}-model", time, places, forced)
    return Record(logged.encode())


def simulated(days: range, seed: int = 1) -> tuple[list[Record], list[Rated], dict[str, list[int]]]:
    """Recommendations, ratings, and by arm how many were rated and how many of those positively.

    Each user sees a list a day and rates its items within two hours; arm b pleases more often.
    """
    draw, arms = random.Random(f"{seed} {days}"), Arms.parse("a:1,b:1")
    lists: list[Record] = []
    ratings: list[Rated] = []
    expected = {"a": [0, 0], "b": [0, 0]}
    for day in days:
        for user in (f"u{number}" for number in range(60)):
            arm, time = arms.arm_of(user), START + day * DAY + draw.randrange(3600)
            items = [f"{day}-{place}" for place in range(3)]
            lists.append(shown(user, f"{user}-{day}", arm, time, items))
            for item in items:
                liked = draw.random() < (0.8 if arm == "b" else 0.4)
                ratings.append((user, item, 5.0 if liked else 2.0, time + draw.randrange(1, 7200)))
                expected[arm][0] += 1
                expected[arm][1] += liked
    return lists, ratings, expected


def test_the_report(kafka: str, topics: Topics, rate: Rate, tmp_path: Path) -> None:
    lists, ratings, expected = simulated(range(5))
    # Who names an arm was not given it.
    named = [shown("u0", "named", "b", START, ["x", "y"], forced=True)]
    rate([("u0", "x", 5.0, START + 60), *ratings])
    produce(kafka, topics.recommendations, named + lists + lists[-20:])
    plot = tmp_path / "rates.svg"
    arguments = ("--json", "-", "--plot", plot, "--state", tmp_path / "state.npz")
    code, out, err = run_as_process(kafka, topics.prefix, *arguments)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["experiment"], told["window"]) == ("default", 7 * DAY)
    users = {each["name"]: each["users"] for each in told["arms"]}
    assert sum(users.values()) == 60
    for each in told["arms"]:
        attributed, positive = expected[each["name"]]
        assert (each["attributed"], each["positive"]) == (attributed, positive)
        assert each["recommendations"] == 15 * each["users"]
        assert each["rate"] == positive / attributed
        assert each["interval"][0] < each["rate"] < each["interval"][1]
        assert [place["recommendations"] for place in told["positions"][each["name"]]] == [
            5 * each["users"]
        ] * 3
    (difference,) = told["arm_differences"]
    assert (difference["name"], difference["base"], difference["users"]) == ("b", "a", 60)
    assert difference["p_value"] < 0.01
    assert 0.2 < difference["difference"] < 0.6
    assert (difference["adjusted_p_value"], difference["comparisons"]) == (difference["p_value"], 1)
    (forced,) = told["forced"]
    assert [forced[name] for name in ("name", "users", "recommendations", "positive")] == ["b", 1, 2, 1]
    assert [each["name"] for each in told["sources"]] == ["exploit", "explore"]
    assert [each["recommendations"] for each in told["sources"]] == [600, 300]
    read = told["read"]
    assert (read["ratings"]["records"], read["recommendations"]["records"]) == (901, 321)
    assert plot.read_text().startswith("<svg")


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


def test_arms_base_and_experiment_can_be_chosen(kafka: str, topics: Topics, rate: Rate, run: Report) -> None:
    lists, ratings, _ = simulated(range(1))
    other = [shown("u1", "r", "c", START + 1e6, ["x"], "other")]
    produce(kafka, topics.recommendations, lists + other)
    rate(ratings)

    def arms(*arguments: str, **environment: str) -> list[str]:
        code, out, _ = run("--json", "-", *arguments, **environment)
        assert code == 0
        return [each["name"] for each in json.loads(out)["arms"]]

    assert arms() == ["a", "b"]
    assert arms("--base", "b") == ["b", "a"]
    assert arms(RECOMMENDER_ARMS="b:1,a:1") == ["b", "a"]
    assert arms("--experiment", "other") == arms(RECOMMENDER_EXPERIMENT="other") == ["c"]
    assert arms("--since", "2023-11-26") == arms("--experiment", "other")
    code, out, err = run("--experiment", "other")
    assert code == 0
    assert "Note: only arm 'c' was shown: there is nothing to compare it with" in err
    assert "no recommended item was rated within the window" in err
    assert "the log has other experiments, too: 'default'" in err
    assert max(map(len, out.splitlines())) <= 80
    for arguments, said in [
        (["--experiment", "gone"], "has no recommendation of experiment 'gone'; it has 'default', 'other'"),
        (["--base", "gone"], "experiment 'default' has no arm 'gone'; it has a, b"),
        (["--until", "2001-01-01"], "no recommendation between --since and --until"),
    ]:
        code, _, err = run(*arguments)
        assert code == 2
        assert said in " ".join(err.split())
    code, _, err = run(RECOMMENDER_EXPERIMENT="third")
    assert code == 2
    assert "several experiments: choose one of 'default', 'other' with --experiment" in err


def test_bad_records_and_late_ratings(kafka: str, topics: Topics, rate: Rate, run: Report) -> None:
    lists = [shown("u", "r", "a", START, ["x", "y"]), shown("u", "s", "b", START + 1, ["z"])]
    produce(kafka, topics.recommendations, [*lists, b"nonsense", Record(None, b"u")])
    rate([("u", "x", 5.0, START + 2), ("u", "y", None, START + 3), ("u", "z", 1.0, START + 2 * DAY)])
    rate([("u", "y", 5.0, START + 3)])
    code, out, err = run("--json", "-")
    assert code == 0
    counts = {each["name"]: (each["attributed"], each["positive"]) for each in json.loads(out)["arms"]}
    assert counts == {"a": (1, 1), "b": (1, 0)}
    name = topics.recommendations
    assert f"2 records of {name} could not be used; the first: {name}[" in err
    assert f"1 rating of {topics.journal} left out: further behind the newest before them" in err


def test_what_is_no_block_is_an_error(kafka: str, topics: Topics, rate: Rate, run: Report) -> None:
    lists, ratings, _ = simulated(range(1))
    produce(kafka, topics.recommendations, lists)
    rate(ratings)
    code, _, err = run(RECOMMENDER_RATING_MAX="10")
    assert code == 2
    assert "they are of another scale or format" in err
    ((_, offset),) = produce(kafka, topics.journal, [Record(b"nonsense", partition=1)])
    code, out, err = run()
    assert (code, out) == (2, "")
    assert f"Error: {topics.journal}[1] offset {offset}: the record has 8 bytes" in err


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


def test_what_cannot_be_reported_is_one_sentence_and_exit_2(kafka: str, topics: Topics, run: Report) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    cases: list[tuple[list[object], dict[str, str], str]] = [
        ([], {}, f"Error: {topics.recommendations} has no records: nothing was recommended yet"),
        ([], {"broker": nowhere}, f"Error: No Kafka broker answers at {nowhere}"),
        ([], {"RECOMMENDER_TOPIC_PREFIX": "none-"}, f"There is no topic none-ratings-journal at {kafka}"),
        (["--plot", "x.gif"], {}, "expected a name that ends in .svg or .png"),
        (["--window", "0d"], {}, "'0d': expected a number above 0 and one of s, m, h, d, w, as in 7d"),
        (["--since", "yesterday"], {}, "'yesterday': expected a date as 2026-01-31"),
        (["--since", "2026-01-02", "--until", "2026-01-02"], {}, "--since must be before --until"),
        (["--state", "x.npz", "--until", "2026-01-02"], {}, "it goes without --until"),
    ]
    for arguments, environment, said in cases:
        code, out, err = run(*arguments, **environment)
        assert (code, out) == (2, ""), arguments
        assert said in err
    delete_topics(kafka, topics.recommendations)
    code, _, err = run()
    assert code == 2
    assert f"There is no topic {topics.recommendations} at {kafka}: `recommender topics` creates it" in err
