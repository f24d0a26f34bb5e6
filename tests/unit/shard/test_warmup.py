"""Kernels are compiled by two processes where none is cached, and by one ahead of time."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recommender.models import topk
from recommender.settings import Settings
from recommender.shard import warmup

ROOT = Path(__file__).parents[3]


def test_a_process_that_nobody_waits_for_is_ended() -> None:
    names = [module.__name__ for module in warmup.MODULES]
    with warmup.running("recommender.shard.warmup", *names) as other:
        pass
    assert other.returncode is not None


@pytest.mark.parametrize(("cold", "helpers"), [(True, 1), (False, 0)])
def test_another_process_helps_where_none_is_cached(
    cold: bool, helpers: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(topk, "was_compiled", lambda: cold)
    with caplog.at_level(logging.INFO):
        warmup.warm(["popular"])
    assert [each.returncode for each in started] == [0] * helpers
    assert (f"it is kept in {topk.kept_in()}" in caplog.text) == cold


def test_nothing_is_left_to_compile_for_the_first_request() -> None:
    """It would hold up the event loop, and with it the heartbeats, as long as compiling takes."""
    command = [sys.executable, "-m", "tests.support.warmed", Settings().model]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == []
