"""The command line: what it lists, how it fails, and that help costs no library's loading."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from recommender import __version__, settings
from recommender.cli import main
from recommender.cli.main import COMMANDS, recommender
from recommender.errors import RecommenderError
from recommender.models import registry

ROOT = Path(__file__).parents[3]
HEAVY = ("faust", "numba", "numpy", "aiokafka", "kafka", "rich")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, and logging as it was afterwards."""
    for each in settings.describe():
        monkeypatch.delenv(each.variable, raising=False)
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(recommender, arguments, prog_name="recommender")


def ended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[object, str]:
    """The exit code and standard error of the whole program."""
    monkeypatch.setattr(sys, "argv", ["recommender", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.main()
    captured = capsys.readouterr()
    assert captured.out == ""
    return caught.value.code, captured.err


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_help_lists_every_command(arguments: tuple[str, ...]) -> None:
    result = invoke(*arguments)
    for name, about in COMMANDS.items():
        assert f"  {name} " in result.output
        assert about.split(",")[0] in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["setings"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    program = (
        "import sys; from recommender.cli.main import main; sys.argv[0] = 'recommender'\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [each for each in {HEAVY} if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_version_is_told() -> None:
    assert invoke("--version").output == f"recommender, version {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_has_help(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"Usage: recommender {name} ")
    command = recommender.get_command(click.Context(recommender), name)
    assert command is not None
    assert command.name == name


@pytest.mark.parametrize(
    ("wrong", "meant"), [("setings", "settings"), ("worker2", "worker"), ("topic", "topics")]
)
def test_an_unknown_command_suggests_one_that_exists(wrong: str, meant: str) -> None:
    result = invoke(wrong)
    assert result.exit_code == 2
    assert f"No such command '{wrong}'; did you mean '{meant}'?" in result.output


def test_a_command_like_no_other_is_refused() -> None:
    result = invoke("xyzzy")
    assert result.exit_code == 2
    assert "No such command 'xyzzy'" in result.output


def test_models_lists_every_model() -> None:
    result = invoke("models")
    assert result.exit_code == 0
    rows = [tuple(line.split("\t")) for line in result.output.splitlines()]
    assert [row[:2] for row in rows] == registry.describe()
    told = {row[0]: row[2:] for row in rows}
    assert {"random", "popular", "popular-recent", "mf", "sequence-knn", "flurs:NAME"} <= told.keys()
    assert told["popular"][1] == "1.00"
    assert float(told["mf"][1]) > 1.0 > float(told["random"][1])
    assert told["flurs:NAME"] == ("", "")


def test_settings_shows_values_and_where_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER_PARTITIONS", "3")
    monkeypatch.setenv("RECOMMENDER_SASL_PASSWORD", "hunter2")
    result = invoke("settings")
    assert result.exit_code == 0
    rows = {line.split("\t")[0]: line.split("\t") for line in result.output.splitlines()}
    assert list(rows) == [each.variable for each in settings.describe()]
    assert rows["RECOMMENDER_PARTITIONS"][1:4] == ["3", "", "set"]
    assert rows["RECOMMENDER_CHECKPOINT_INTERVAL"][1:4] == ["60", "seconds", "default"]
    assert rows["RECOMMENDER_SASL_PASSWORD"][1:4] == ["****", "", "set"]
    assert "hunter2" not in result.output


def test_what_a_person_must_mend_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**options: object) -> None:
        raise RecommenderError("The file 'x' does not exist.")

    monkeypatch.setattr(recommender, "main", fail)
    assert ended(monkeypatch, capsys) == (2, "Error: The file 'x' does not exist.\n")


def test_a_programmers_mistake_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(recommender, "main", fail)
    with pytest.raises(ZeroDivisionError):
        main.main()


@pytest.mark.parametrize("command", ["settings", "worker", "topics"])
def test_a_bad_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("RECOMMENDER_PARTITIONS", "x")
    code, told = ended(monkeypatch, capsys, command)
    assert (code, told) == (2, "Error: RECOMMENDER_PARTITIONS has value 'x': not an integer\n")


def test_an_unknown_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECOMMENDER_MODLE", "mf")
    code, told = ended(monkeypatch, capsys, "settings")
    assert code == 2
    assert told == "Error: RECOMMENDER_MODLE is not a setting; the nearest is RECOMMENDER_MODEL\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "popula"], "unknown model: 'popula'; did you mean 'popular'?"),
        (["--model", "popular-recent/half_life=x"], "half_life has value 'x': not a finite number"),
        (["--feedback", "stars"], "feedback policy 'stars' does not exist"),
        (["--feedback", "graded:9"], "outside the scale of ratings, 0.5 to 5"),
        (["--web-port", "99999"], "--web-port has value '99999': must be at most 65535"),
    ],
)
def test_the_worker_refuses_what_cannot_be_before_it_looks_for_a_broker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    code, error = ended(monkeypatch, capsys, "worker", "--web-port", "0", *options)
    assert code == 2
    assert told in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1


def test_the_worker_refuses_a_busy_port(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, error = ended(monkeypatch, capsys, "worker", "--web-port", str(port))
    assert code == 2
    assert error.startswith(f"Error: RECOMMENDER_WEB_PORT has value {port}: cannot listen at 127.0.0.1")
    assert error.count("\n") == 1


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "recommender", "xyzzy"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "No such command 'xyzzy'" in done.stderr
