"""Topics, a group and checkpoints that the workers of one edition share, kept from turn to turn."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.data import Log, Shape
from benchmarks.editions import Edition
from benchmarks.kafka_log import fill, make_topics, messages
from benchmarks.workers import Worker

#: Seconds that a worker may take to learn what it is given.
PATIENCE = 900.0


class Installation:
    """The settings that one edition's workers have in common.

    Parameters
    ----------
    address : str
        The broker's.
    edition : Edition
    partitions : int
        Of the topics.

    Attributes
    ----------
    address, prefix, group : str
    edition : Edition
    checkpoints : Path
    """

    def __init__(self, address: str, edition: Edition, partitions: int = 1) -> None:
        unique = uuid.uuid4().hex[:8]
        self.address, self.edition, self.partitions = address, edition, partitions
        self.prefix, self.group = f"{unique}-", f"group-{unique}"
        self.checkpoints = Path(tempfile.mkdtemp(prefix="checkpoints-"))
        self.topics = make_topics(address, self.prefix, partitions)

    def worker(self, **settings: object) -> Worker:
        """A worker that is not started yet."""
        ours = {
            "broker": self.address,
            "topic_prefix": self.prefix,
            "group": self.group,
            "checkpoints": self.checkpoints,
        }
        return Worker(self.edition, **{**ours, **settings})

    def teach(self, shape: Shape, count: int) -> None:
        """Write ratings and let a worker learn and save them."""
        fill(self.address, self.topics.ratings, messages(shape, count))
        with self.worker(checkpoint_interval=5).start() as worker:
            worker.ready(PATIENCE).learned_up_to(count, PATIENCE, 0.2)
            worker.saved(PATIENCE)

    def close(self) -> None:
        """Remove the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)


@contextmanager
def installed(address: str, edition: Edition, partitions: int = 1) -> Iterator[Installation]:
    """An installation that is gone afterwards, but for its topics."""
    installation = Installation(address, edition, partitions)
    try:
        yield installation
    finally:
        installation.close()


def users_of(shape: Shape, count: int, most: int = 500) -> list[str]:
    """Some of the users of the first `count` ratings of a log."""
    return [str(user) for user in np.unique(Log(shape).head(count).users)[:most]]
