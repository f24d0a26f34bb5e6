"""Logging: ours is all shown, the libraries' only in moderation."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest
from mode import Service

from recommender.worker import log_filter
from recommender.worker.log_filter import Thinned


def record(name: str, level: int, message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, level, "x.py", 1, message, arguments, None)


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was afterwards."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_our_own_lines_are_all_shown() -> None:
    thinned = Thinned()
    assert all(thinned.filter(record("recommender.worker.shards", logging.INFO, "saved")) for _ in range(5))


@pytest.mark.parametrize("name", ["aiokafka.conn", "faust.app", "mode.services", "kafka"])
def test_libraries_are_shown_from_warnings_on(name: str) -> None:
    assert not Thinned().filter(record(name, logging.INFO, "hello"))
    assert Thinned().filter(record(name, logging.WARNING, "hello"))
    assert Thinned(logging.DEBUG).filter(record(name, logging.DEBUG, "hello"))


def test_repetitions_are_held_back_and_counted() -> None:
    now = [1000.0]
    thinned = Thinned(seconds=10.0, clock=lambda: now[0])

    def shown(node: int) -> logging.LogRecord | None:
        line = record("aiokafka", logging.ERROR, "Something with node %s", node)
        return line if thinned.filter(line) else None

    assert shown(1) is not None
    assert [shown(2), shown(3)] == [None, None]
    now[0] += 10.0
    later = shown(4)
    assert later is not None
    assert later.getMessage() == "Something with node 4 (and 2 more like it)"
    now[0] += 10.0
    again = shown(5)
    assert again is not None
    assert again.getMessage() == "Something with node 5"


def test_a_percent_sign_in_what_was_logged_does_no_harm() -> None:
    now = [1000.0]
    thinned = Thinned(seconds=10.0, clock=lambda: now[0])
    for _ in range(2):
        thinned.filter(record("faust", logging.ERROR, "%s", "100%d"))
    now[0] += 11.0
    line = record("faust", logging.ERROR, "%s", "100%d")
    assert thinned.filter(line)
    assert line.getMessage() == "100%d (and 1 more like it)"


def test_different_messages_do_not_hold_each_other_back() -> None:
    thinned = Thinned()
    assert thinned.filter(record("faust", logging.ERROR, "one"))
    assert thinned.filter(record("faust", logging.ERROR, "two"))
    assert thinned.filter(record("mode", logging.ERROR, "one"))


def test_a_broker_that_is_away_is_left_to_the_watch() -> None:
    line = "Unable connect to node with id %s: %s"
    assert not Thinned().filter(record("aiokafka", logging.ERROR, line, 0, "refused"))
    assert Thinned(logging.DEBUG).filter(record("aiokafka", logging.ERROR, line, 0, "refused"))


def test_a_missing_topic_is_left_to_whoever_sends_to_it() -> None:
    line = "Topic %s not found in cluster metadata"
    assert not Thinned().filter(record("aiokafka.cluster", logging.ERROR, line, "shop-replies"))


@pytest.mark.parametrize(("level", "expected"), [("debug", logging.DEBUG), ("warning", logging.WARNING)])
def test_one_handler_and_the_level_that_was_asked_for(
    root: logging.Logger, level: str, expected: int
) -> None:
    log_filter.configure(level)
    log_filter.configure(level)
    assert len(root.handlers) == 1
    assert root.level == expected


def test_lines_go_to_standard_error(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log_filter.configure("info")
    logging.getLogger("recommender.test").info("topic[%d] offset %d", 3, 7)
    logging.getLogger("faust").info("not shown")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith("INFO    topic[3] offset 7\n")
    assert captured.err.count("\n") == 1


def test_lines_of_json(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log_filter.configure("info", "json")
    logger = logging.getLogger("recommender.test")
    logger.info("user %r\nrated", "\ud800")
    try:
        raise ValueError("no room")
    except ValueError:
        logger.exception("it failed")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["level"], first["logger"]) == ("info", "recommender.test")
    assert first["message"] == "user '\\ud800'\nrated"
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert "exception" not in first
    assert second["level"] == "error"
    assert second["exception"].endswith("ValueError: no room")


def test_json_of_what_is_no_text(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    log_filter.configure("info", "json")
    logging.getLogger("recommender.test").info("half of a pair: %s", "\ud800")
    assert json.loads(capsys.readouterr().err)["message"] == "half of a pair: ?"


def test_services_tell_of_themselves_as_libraries_do() -> None:
    """What each starts and stops is of no interest to who runs a worker."""
    import recommender.worker.app  # noqa: F401

    def below(service: type[Service]) -> Iterator[type[Service]]:
        for each in service.__subclasses__():
            yield each
            yield from below(each)

    ours = [each for each in below(Service) if each.__module__.startswith("recommender.")]
    assert len(ours) > 3
    assert [each for each in ours if not each.logger.name.startswith(log_filter.NOISY)] == []
