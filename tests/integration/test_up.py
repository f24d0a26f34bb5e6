"""`recommender up` as a process: workers, pages, ratings and requests, and nothing after Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from recommender.kafka.local.ports import listens
from tests.support.kafka import wait_until
from tests.support.workers import PATIENCE

COUNT = 4000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of ratings."""
    path = tmp_path / "u.data"
    path.write_text("".join(f"u{n % 40}\t{n * 7 % 90}\t{1 + n % 5}\t{1000 + n}\n" for n in range(COUNT)))
    return path


@pytest.fixture
def up(source: Path) -> Iterator[subprocess.Popen[str]]:
    """The process, which is ended if the test does not."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECOMMENDER_")}
    command = ["-m", "recommender", "up", "--source", str(source), "--rate", "50", "--model", "popular"]
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def status(page: str) -> Any:
    with urllib.request.urlopen(f"{page}status", timeout=10) as answer:
        return json.loads(answer.read())


def learned(page: str) -> int:
    return sum(status(page)["sources"].values())


def has_begun(page: str) -> bool:
    """Whether more is learned than what comes at once, and not yet all."""
    return COUNT // 2 < learned(page) < COUNT


def replies(pages: list[str]) -> float:
    """How many requests both workers have answered."""
    count = 0.0
    for page in pages:
        with urllib.request.urlopen(f"{page}metrics", timeout=10) as answer:
            found = re.findall(r'recommender_replies_total\{code="ok"\} (\S+)', answer.read().decode())
        count += sum(map(float, found))
    return count


def worker_of(page: str) -> int:
    """The process that serves a page."""
    port = page.rstrip("/").rpartition(":")[2]
    for each in Path("/proc").glob("[0-9]*"):
        try:
            told = f"RECOMMENDER_WEB_PORT={port}\0".encode() in (each / "environ").read_bytes()
            if told and (each / "cmdline").read_bytes().endswith(b"recommender\0worker\0"):
                return int(each.name)
        except OSError:
            continue  # it has ended, or is somebody else's
    raise AssertionError(f"no process serves {page}")


def test_it_runs_until_ctrl_c(up: subprocess.Popen[str]) -> None:
    assert up.stdout is not None
    said = ""
    while "Ctrl-C ends" not in said:
        line = up.stdout.readline()
        assert line, said
        said += line
    pages = re.findall(r"http://127\.0\.0\.1:\d+/", said)
    assert len(pages) == 2
    for page in pages:
        with urllib.request.urlopen(page, timeout=10) as answer:
            assert b"<title>Recommender</title>" in answer.read()
    # Half of the ratings come at once, the others one after the other; both workers learn all of them.
    for page in pages:
        wait_until(partial(has_begun, page), PATIENCE, partial(str, page))
    wait_until(lambda: replies(pages) > 5, PATIENCE)
    os.kill(worker_of(pages[1]), signal.SIGKILL)
    assert up.stdout.readline().startswith("Worker 2 has ended.")
    up.send_signal(signal.SIGINT)
    rest = up.communicate(timeout=PATIENCE)[0]
    assert rest.rstrip().endswith("All of it has ended.")
    assert "Traceback" not in rest
    assert up.returncode == 0
    assert not [page for page in pages if listens(int(page.rstrip("/").rpartition(":")[2]))]
