"""A worker that is told to stop: once, twice, and twice by the same key."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import faust
import pytest

from recommender.cli.worker import Worker


class Ended(Exception):
    """The process would be gone."""


class Told:
    """A worker without a loop, its clock, and how often it began to stop."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        app: Any = faust.App("signals", web_enabled=False)
        self.worker = Worker(app)
        self.stops: list[signal.Signals] = []
        self.now = 100.0
        monkeypatch.setattr(self.worker, "_schedule_shutdown", self.stops.append)
        monkeypatch.setattr(self.worker, "carp", lambda *arguments: None)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(os, "_exit", self._exit)

    def _exit(self, code: int) -> None:
        assert code == 130
        raise Ended

    def interrupt(self, after: float = 0.0) -> None:
        self.now += after
        self.worker._on_sigint()

    def terminate(self, after: float = 0.0) -> None:
        self.now += after
        self.worker._on_sigterm()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


def test_once_it_stops_in_order(told: Told) -> None:
    told.interrupt()
    assert told.stops == [signal.SIGINT]


def test_again_it_ends_at_once(told: Told) -> None:
    told.interrupt()
    with pytest.raises(Ended):
        told.interrupt(after=0.6)


def test_one_key_that_reaches_it_twice_is_one(told: Told) -> None:
    told.interrupt()
    told.interrupt(after=0.1)
    assert told.stops == [signal.SIGINT]
    with pytest.raises(Ended):
        told.interrupt(after=0.5)


def test_two_different_signals_are_two(told: Told) -> None:
    told.interrupt()
    with pytest.raises(Ended):
        told.terminate(after=0.1)
