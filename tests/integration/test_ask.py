"""`recommender ask`, as a script runs it, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from recommender.cli.ask import ask
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics
from recommender.messages.responses import Failure, Recommended, Response
from tests.support.commands import Ended, run_command
from tests.support.responder import Asked, Responder, answer_for, responding

MakeTopics = Callable[..., Topics]
Run = Callable[..., Ended]

MARKUP = [Recommended("[red]1[/red]", 0.5)]
REPLIES = {
    "fails": Failure("bad_request", "no arm is called 'x'").encode(),
    "new": Response("new", [Recommended("1", 0.5)], "popular", "main", True, 0, -1, -1).encode(),
    "nothing": Response("nothing", [], "popular", "main", False, 0, -1, -1).encode(),
    "markup": Response(
        "markup", [Recommended("[red]1[/red]", 0.5)], "popular", "main", False, 0, -1, -1
    ).encode(),
}


def answer(responder: Responder, asked: Asked) -> None:
    """A worker that knows some users by name, and never answers one of them."""
    user = asked.value["user"]
    if user != "silence":
        responder.reply(asked, REPLIES.get(user))


@pytest.fixture
def run(kafka: str, topic_prefix: str) -> Run:
    """Run ``recommender ask`` with these arguments to its end."""

    def run(*arguments: str, **environment: str) -> Ended:
        ours = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topic_prefix, "COLUMNS": "120"}
        return run_command("ask", *arguments, **ours | environment)

    return run


def run_as_process(kafka: str, prefix: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own, its output in a pipe."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECOMMENDER_")}
    return subprocess.run(
        [sys.executable, "-m", "recommender", "ask", *arguments],
        env=kept | {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": prefix},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_pipe_gets_columns_and_json_as_received(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    with responding(kafka, topics, answer) as responder:
        plain = run_as_process(kafka, topics.prefix, "--user", "42", "--timeout", "20")
        assert (plain.returncode, plain.stderr) == (0, "")
        assert plain.stdout.splitlines() == [
            "rank\titem\tscore\tsource\tneighbours",
            "1\tfor-42\t0.5\texploit\t3",
            "2\t2\t0.25\texplore\t",
        ]
        options = "--items a,b --items c --exclude d --include-rated --after 9 --arm knn --explore 0.2 -n 3"
        received = run_as_process(
            kafka, topics.prefix, "--user", "é", "--json", "--timeout", "20", *options.split()
        )
        assert (received.returncode, received.stderr) == (0, "")
        assert received.stdout == answer_for("é").encode().decode() + "\n"
        assert responder.asked[1].value == {
            "user": "é",
            "n": 3,
            "items": ["a", "b", "c"],
            "exclude": ["d"],
            "include_rated": True,
            "after": 9,
            "arm": "knn",
            "explore": 0.2,
        }


def test_a_terminal_gets_a_table(kafka: str, make_topics: MakeTopics, run: Run) -> None:
    with responding(kafka, make_topics(), answer):
        table = run("--user", "42", "--timeout", "20", FORCE_COLOR="1")
        assert table.returncode == 0
        for shown in (
            "For user 42",
            "neighbours",
            "for-42",
            "0.25",
            "explore",
            "as of offset 3 of the journal",
        ):
            assert shown in " ".join(table.stdout.split())
        assert "[red]1[/red]" in run("--user", "markup", "--timeout", "20", FORCE_COLOR="1").stdout


def test_titles_and_notes(kafka: str, make_topics: MakeTopics, run: Run, tmp_path: Path) -> None:
    (tmp_path / "u.data").write_text("1\t1\t5\t881250949\n")
    (tmp_path / "u.item").write_bytes("1|Cité (1995)|01-Jan-1995||http://x|0\n".encode("latin-1"))
    with responding(kafka, make_topics(), answer):
        titled = run("--user", "new", "--timeout", "20", "--titles", str(tmp_path / "u.data"))
        assert titled.stdout.splitlines()[1] == "1\t1\t0.5\texploit\t\tCité (1995)"
        assert titled.stderr == (
            "Cold start: no rating of the user is known, so these are the popular items.\n"
        )
        nothing = run("--user", "nothing", "--timeout", "20")
        assert (nothing.returncode, nothing.stderr) == (0, "There is nothing to recommend.\n")


def test_failure_and_silence_are_one_sentence_and_exit_code_1(
    kafka: str, make_topics: MakeTopics, run: Run
) -> None:
    with responding(kafka, make_topics(), answer):
        failure = run("--user", "fails", "--timeout", "20")
        assert (failure.returncode, failure.stdout) == (1, "")
        assert failure.stderr == "Error: no arm is called 'x' (bad_request)\n"
        as_json = run("--user", "fails", "--json", "--timeout", "20")
        assert as_json.returncode == 1
        assert json.loads(as_json.stdout)["error"]["code"] == "bad_request"
        silence = run("--user", "silence", "--timeout", "0.5")
        assert (silence.returncode, silence.stdout) == (1, "")
        assert silence.stderr.startswith("Error: No recommendations for user 'silence' within 0.5 s")
        assert silence.stderr.count("\n") == 1


def test_what_must_be_mended_is_one_sentence_and_exit_code_2(run: Run, topic_prefix: str) -> None:
    address = f"127.0.0.1:{free_port()}"
    for arguments, expected in (
        (["--broker", address], f"No Kafka broker answers at {address}"),
        (["--broker", "nonsense"], "expected HOST:PORT"),
        ([], f"Topic '{topic_prefix}recommendation-requests' does not exist"),
    ):
        ended = run("--user", "42", *arguments)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith("Error: ")
        assert expected in ended.stderr
        assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "--user"),
        (["--user", ""], "empty"),
        (["--user", "\udcff"], "not UTF-8"),
        (["--user", "1", "-n", "0"], "1<=x<=1000"),
        (["--user", "1", "--timeout", "nan"], "positive number of seconds"),
        (["--user", "1", "--timeout", "0"], "positive number of seconds"),
        (["--user", "1", "--after", "-1"], "x>=0"),
        (["--user", "1", "--items", ", "], "empty"),
        (["--user", "1", "--explore", "1.5"], "0<=x<=1"),
        (["--user", "1", "--explore", "nan"], "between 0 and 1, got nan"),
    ],
)
def test_bad_usage(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(ask, arguments)
    assert result.exit_code == 2
    assert expected in result.output


def test_help_says_the_exit_codes() -> None:
    output = " ".join(CliRunner().invoke(ask, ["--help"]).output.split())
    assert "The exit code is 0 with an answer; 1 when" in output
