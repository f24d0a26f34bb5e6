"""One run of chaos from the first record to the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from recommender.kafka.local.broker import LocalBroker
from tests.chaos import verdict
from tests.chaos.monkey import Monkey
from tests.chaos.traffic import Traffic
from tests.support.brokers import TEST_PROPERTIES
from tests.support.worker_logs import Oracle
from tests.support.workers import installed

PARTITIONS = 6
WORKERS = 3
SETTLE_SECONDS = 120.0
#: Of each worker's log, where something is wrong.
LOG_CHARACTERS = 5000


def run(
    directory: Path, kills: int, seed: int, ratings: float, requests: float, say: Callable[[str], None]
) -> list[str]:
    """Three workers on six partitions under load, killed so many times.

    Parameters
    ----------
    directory : Path
        For checkpoints and logs.
    kills, seed : int
    ratings, requests : float
        How many a second.
    say : function
        Told what happens, line by line.

    Returns
    -------
    list of str
        What must not be.
    """
    started = time.monotonic()
    say(f"seed {seed}: {kills} kills, {ratings:g} ratings/s, {requests:g} requests/s")
    with (
        LocalBroker(properties=TEST_PROPERTIES) as broker,
        installed(broker.address, directory, "chaos", PARTITIONS) as installation,
    ):
        traffic = Traffic(broker.address, installation.topics, PARTITIONS, seed, ratings, requests)
        traffic.start()
        monkey = Monkey(installation, broker, seed, WORKERS, say)
        monkey.run(kills)
        sent = traffic.stop()
        monkey.settle(SETTLE_SECONDS)
        learned, learned_summary = verdict.ratings(Oracle(installation), sent, *monkey.workers)
        monkey.stop()
        answered, answered_summary = verdict.requests(installation, sent, monkey.events)
    for kind in ("kill", "stop", "pause", "join", "broker"):
        say(monkey.events.summary(kind))
    say(learned_summary)
    say(answered_summary)
    say(f"{(time.monotonic() - started) / 60:.1f} minutes in all")
    violations = [*monkey.violations, *learned, *answered]
    if violations:
        for path in monkey.logs():
            say(f"{path}:\n{path.read_text()[-LOG_CHARACTERS:]}")
    return violations
