"""A disk full for real: a worker learns, answers and commits on, and saves as soon as it can."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from recommender.kafka.local.broker import LocalBroker
from tests.chaos.recovery import Log
from tests.support.asking import asking
from tests.support.brokers import TEST_PROPERTIES
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, generated
from tests.support.workers import PATIENCE, Worker, installed

FIRST, LATER = 2000, 500


def full_disk(small: Path, seed: int, say: Callable[[str], None]) -> None:
    """Fill the file system that holds the checkpoints, learn, make room, and compare the digest.

    Parameters
    ----------
    small : path
        An empty directory on a file system of its own, of a few megabytes: it is filled to the last byte.
    seed : int
    say : callable
        Told each step.

    Raises
    ------
    AssertionError
        The worker did not do as it should.
    """
    with (
        tempfile.TemporaryDirectory(prefix="disk-") as directory,
        LocalBroker(properties=TEST_PROPERTIES) as broker,
        installed(broker.address, Path(directory), "disk", 1) as installation,
    ):
        installation.checkpoints = small / "checkpoints"
        topics, oracle = installation.topics, Oracle(installation)
        produce(broker.address, topics.ratings, generated(FIRST, seed))
        worker = installation.worker().start().ready()
        saved = oracle.assert_agrees(worker).position
        log = Log(installation)
        wait_until(lambda: log.committed(topics.ratings)[0] == FIRST, PATIENCE, "not committed")
        say(f"{FIRST} ratings learned, saved and committed")
        with _filled(small) as ballast:
            say(f"the disk is full: {ballast:,} bytes beside the checkpoints")
            produce(broker.address, topics.ratings, generated(LATER, seed + 1))
            wait_until(lambda: worker.status()["checkpoint_error"], PATIENCE, worker.log)
            worker.learned({0: FIRST + LATER})
            with asking(broker.address, topics) as asker:
                assert asker.ask({"user": "u1", "n": 3}).body["ok"]
            wait_until(lambda: log.committed(topics.ratings)[0] == FIRST + LATER, PATIENCE, "not committed")
            assert worker.journal[0]["saved"] == saved
            say(f"{LATER} more are learned and committed, a request is answered; the worker says:")
            say(_last_error(worker))
        oracle.assert_agrees(worker)
        assert worker.status()["checkpoint_error"] is None
        log.close()
        worker.stop()
        assert not list(installation.checkpoints.glob("*/*.tmp"))
        say("there is room again: everything is saved, and the digest is that of one pass")


@contextmanager
def _filled(directory: Path) -> Iterator[int]:
    """A file that takes what is left of a file system."""
    path = directory / "ballast"
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                # A write may be cut short instead of refused.
                file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                size //= 2
    try:
        yield path.stat().st_size
    finally:
        path.unlink()


def _last_error(worker: Worker) -> str:
    return [line for line in worker.log.splitlines() if "cannot write checkpoints" in line][-1]
