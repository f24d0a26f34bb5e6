"""The report of an experiment, from two topics that no worker has to be there for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics
from tests.integration.experiment_logs import (
    DAY,
    START,
    Rate,
    Report,
    make_topics,
    rating_into,
    report_of,
    shown,
    simulated,
)
from tests.support.kafka import Record, delete_topics, produce

ROOT = Path(__file__).parents[2]


@pytest.fixture
def topics(kafka: str, topic_prefix: str) -> Topics:
    return make_topics(kafka, topic_prefix)


@pytest.fixture
def rate(kafka: str, topics: Topics) -> Rate:
    return rating_into(kafka, topics)


@pytest.fixture
def run(kafka: str, topic_prefix: str) -> Report:
    return report_of(kafka, topic_prefix)


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
