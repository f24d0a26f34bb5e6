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

#: Of the ratings and of the requests: where the journal has several partitions, a multiple of their number
#: that gives three workers unequal shares.
PARTITIONS, SEVERAL_PARTITIONS = 6, 4
WORKERS = 3
SETTLE_SECONDS = 120.0
#: Of each worker's log, where something is wrong.
LOG_CHARACTERS = 5000


def run(
    directory: Path,
    kills: int,
    seed: int,
    ratings: float,
    requests: float,
    say: Callable[[str], None],
    journal_partitions: int = 1,
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
    journal_partitions : int
        With more than one the topics have four partitions, and a worker holds some of the shards.

    Returns
    -------
    list of str
        What must not be.
    """
    started = time.monotonic()
    partitions = PARTITIONS if journal_partitions == 1 else SEVERAL_PARTITIONS
    say(f"seed {seed}: {kills} kills, {ratings:g} ratings/s, {requests:g} requests/s")
    say(f"{WORKERS} workers, {partitions} partitions, {journal_partitions} of the journal")
    with (
        LocalBroker(properties=TEST_PROPERTIES) as broker,
        installed(broker.address, directory, "chaos", partitions, journal_partitions) as installation,
    ):
        traffic = Traffic(broker.address, installation.topics, partitions, seed, ratings, requests)
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
