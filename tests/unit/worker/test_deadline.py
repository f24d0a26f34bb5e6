"""A process that hangs while it ends is ended."""

from __future__ import annotations

import subprocess
import sys

HANGS = """
import logging, threading
from recommender.worker import deadline
logging.basicConfig()
timer = deadline.end_within(0.05, "stopping")
{then}
"""


def run(then: str) -> subprocess.CompletedProcess[str]:
    code = HANGS.format(then=then)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_hangs_is_ended_and_says_so() -> None:
    ended = run("threading.Event().wait()")
    assert ended.returncode == 1
    assert "stopping takes longer than 0.05 s: ending at once" in ended.stderr


def test_what_ends_by_itself_is_left_alone() -> None:
    ended = run("timer.cancel(); timer.join(); print('done')")
    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert "ending at once" not in ended.stderr
