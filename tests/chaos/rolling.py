"""Workers restart one after another under load: is every request answered, and every rating learned, once?

The workers are processes, or the containers of `deploy/compose.yml`, which may get another image on the way.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from recommender.kafka.local.broker import LocalBroker
from tests.chaos import verdict
from tests.chaos.recovery import Events, Log
from tests.chaos.traffic import Sent, Traffic
from tests.support.brokers import TEST_PROPERTIES
from tests.support.kafka import consume_all, wait_until
from tests.support.worker_logs import Oracle
from tests.support.worker_pages import WorkerPages
from tests.support.workers import START_PATIENCE, Installation, installed

WORKERS, PARTITIONS = 2, 4
SETTLE_SECONDS = 120.0
#: Between two restarts, so that calm moments are measured, too.
CALM_SECONDS = 3.0


class Fleet(ABC):
    """Workers that can be restarted.

    Attributes
    ----------
    installation : Installation
        Their topics and groups.
    """

    installation: Installation

    @property
    @abstractmethod
    def workers(self) -> Sequence[WorkerPages]:
        """Their pages, in the order in which they are restarted."""

    @abstractmethod
    def stop(self, number: int) -> None:
        """Stop one as a rolling update does, and return when it has ended without complaint."""

    @abstractmethod
    def start(self, number: int) -> None:
        """Start it again; does not wait."""


class Processes(Fleet):
    """Workers as processes of this machine."""

    def __init__(self, installation: Installation, count: int = WORKERS, **settings: object) -> None:
        self.installation = installation
        self._started = [installation.worker(**settings).start() for _ in range(count)]

    @property
    def workers(self) -> Sequence[WorkerPages]:
        """Their pages."""
        return self._started

    def stop(self, number: int) -> None:
        """Send SIGTERM and wait."""
        self._started[number].stop()

    def start(self, number: int) -> None:
        """Start the process again."""
        self._started[number].start()


class Followed(Oracle):
    """An oracle that compares running workers, and not what they have saved."""

    def assert_followed(self, *workers: WorkerPages, checkpoints: Path | None = None) -> object:  # type: ignore[override]
        """Wait until the workers are where the journal ends, and compare what they have counted."""

        def are_there() -> bool:
            self.look()
            return all(
                each.journal.get(replica.partition, {}).get("position") == replica.position
                for each in workers
                for replica in self.replicas
            )

        wait_until(are_there, SETTLE_SECONDS, lambda: str([each.journal for each in workers]))
        for each in workers:
            for replica in self.replicas:
                assert each.journal[replica.partition]["hash"] == f"{replica.rule.hash:016x}"
            assert each.status()["differs"] == []
        return self.replica


def roll(
    fleet: Fleet,
    rounds: int,
    seed: int,
    ratings: float,
    requests: float,
    say: Callable[[str], None],
    *,
    calm: float = CALM_SECONDS,
) -> list[str]:
    """Restart each worker so many times under load.

    Parameters
    ----------
    fleet : Fleet
    rounds, seed : int
    ratings, requests : float
        How many a second.
    say : function
        Told what happens, line by line.
    calm : float
        Seconds between two restarts.

    Returns
    -------
    list of str
        What must not be.
    """
    installation = fleet.installation
    for each in fleet.workers:
        wait_until(each.is_ready, START_PATIENCE)
    traffic = Traffic(installation.kafka, installation.topics, PARTITIONS, seed, ratings, requests)
    traffic.start()
    log = Log(installation)
    events = Events()
    wait_until(lambda: min(log.committed(installation.topics.requests).values()) > 0, SETTLE_SECONDS)
    for _ in range(rounds):
        for number in range(len(fleet.workers)):
            time.sleep(calm)
            _restart(fleet, number, events, say)
    time.sleep(calm)
    sent = traffic.stop()
    topics = installation.topics
    wait_until(lambda: not any(map(log.lag, (topics.ratings, topics.requests))), SETTLE_SECONDS)
    log.close()
    learned, learned_summary = verdict.ratings(Followed(installation), sent, *fleet.workers)  # type: ignore[arg-type]
    answered, answered_summary = verdict.requests(installation, sent, events)
    say(learned_summary)
    say(answered_summary)
    for line in waits(installation, sent, events):
        say(line)
    return [*learned, *answered]


def _restart(fleet: Fleet, number: int, events: Events, say: Callable[[str], None]) -> None:
    worker, event = fleet.workers[number], events.begin("stop", True)
    fleet.stop(number)
    stopped = time.time()
    fleet.start(number)
    wait_until(worker.is_ready, START_PATIENCE, lambda: worker.log)
    events.recovered()
    took = f"ended after {stopped - event.began:.1f} s, ready {event.recovered - stopped:.1f} s later"
    say(f"worker {number + 1}: {took}")


def waits(installation: Installation, sent: Sent, events: Events) -> list[str]:
    """How long replies took, during restarts and otherwise."""
    replied: dict[bytes, float] = {}
    for each in consume_all(installation.kafka, installation.topics.responses):
        replied.setdefault(dict(each.headers)["kafka_correlationId"], each.timestamp / 1000)
    took: dict[bool, list[float]] = {False: [], True: []}
    for correlation, at in sent.requests.items():
        if correlation in replied:
            during = any(each.began <= at <= each.recovered for each in events.all)
            took[during].append(1000 * max(0.0, replied[correlation] - at))
    told = []
    for during, what in ((False, "all workers running"), (True, "a worker restarting")):
        found = sorted(took[during])
        if found:
            told.append(
                f"{what}: {len(found)} replies, after {median(found):.0f} ms (median), "
                f"{found[int(0.99 * (len(found) - 1))]:.0f} ms (99 of 100), {found[-1]:.0f} ms (worst)"
            )
    return told


def roll_processes(
    directory: Path,
    rounds: int,
    seed: int,
    ratings: float,
    requests: float,
    say: Callable[[str], None],
    *,
    calm: float = CALM_SECONDS,
) -> list[str]:
    """Restart workers that are processes, with a broker of their own; what must not be."""
    with (
        LocalBroker(properties=TEST_PROPERTIES) as broker,
        installed(broker.address, directory, "rolling", PARTITIONS) as installation,
    ):
        return roll(Processes(installation), rounds, seed, ratings, requests, say, calm=calm)
