"""A worker as a process that ends with the one that started it: for the demo and `recommender up`."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recommender.errors import RecommenderError
from recommender.kafka.local.guarded import Guarded

START_SECONDS = 60.0
STOP_SECONDS = 10.0
LOOK_SECONDS = 0.2
HOST = "127.0.0.1"


class LocalWorker:
    """A worker that runs.

    Attributes
    ----------
    pages : str
        The address of its pages.
    """

    def __init__(self, guarded: Guarded, pages: str) -> None:
        self._guarded, self.pages = guarded, pages
        self._ended = False

    def has_ended(self) -> bool:
        """Tell whether it runs no more."""
        self._ended = self._ended or self._guarded.exited(0.0) is not None
        return self._ended


@contextmanager
def local_worker(broker: str, port: int, variables: Mapping[str, str]) -> Iterator[LocalWorker]:
    """Run a worker on this machine until the end of the block.

    Parameters
    ----------
    broker : str
    port : int
        Of its pages.
    variables : mapping
        Settings, by their variables' names.

    Yields
    ------
    LocalWorker
        Once it is ready.

    Raises
    ------
    RecommenderError
        It did not start; the message has the end of its log.
    """
    guarded = Guarded()
    try:
        given = {
            "RECOMMENDER_BROKER": broker,
            "RECOMMENDER_TOPIC_PREFIX": "",
            "RECOMMENDER_CHECKPOINTS": str(guarded.directory / "checkpoints"),
            "RECOMMENDER_WEB_PORT": str(port),
            "RECOMMENDER_SESSION_TIMEOUT": "6",
            **variables,
        }
        settings = [f"{name}={value}" for name, value in given.items()]
        guarded.run(["/usr/bin/env", *settings, sys.executable, "-m", "recommender", "worker"])
        pages = f"http://{HOST}:{port}"
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{pages}/readyz"):
            if guarded.exited(LOOK_SECONDS) is not None or time.monotonic() > deadline:
                log = guarded.directory / "broker.log"
                raise RecommenderError(f"The worker did not start. Its log ends with:\n{_tail(log)}")
        worker = LocalWorker(guarded, pages)
        yield worker
        if not worker.has_ended():
            guarded.end("terminate", STOP_SECONDS)
    finally:
        guarded.close()


def answers(url: str) -> bool:
    """Return True if a page answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _tail(log: Path, lines: int = 15) -> str:
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:])
