"""One worker under steady load for a long time: does memory, or the number of open files, grow?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.topics import Topics
from tests.chaos import verdict
from tests.chaos.recovery import Events, Log
from tests.chaos.traffic import Traffic
from tests.support.brokers import TEST_PROPERTIES
from tests.support.kafka import wait_until
from tests.support.worker_logs import Oracle
from tests.support.workers import Worker, installed

RATINGS, REQUESTS = 5000.0, 50.0
PARTITIONS = 2
MINUTE = 60.0
SETTLE_SECONDS = 300.0
#: Few enough that all has been met when the warm-up ends: what grows then is a leak.
LOOSE_ITEMS = 1000
#: By how much the median of the last third may be above that of the second third.
GROWTH = 0.05
FILES = 5


@dataclass(frozen=True)
class Sample:
    """What the worker holds at one moment.

    Attributes
    ----------
    memory : float
        Resident, in bytes.
    files : int
        Open descriptors.
    """

    memory: float
    files: int


def soak(directory: Path, minutes: float, seed: int, say: Callable[[str], None]) -> list[str]:
    """Run a worker under load, and tell each minute how it is; what must not be."""
    say(f"seed {seed}: {minutes:g} minutes at {RATINGS:g} ratings/s and {REQUESTS:g} requests/s")
    with (
        LocalBroker(properties=TEST_PROPERTIES) as broker,
        installed(broker.address, directory, "soak", PARTITIONS) as installation,
    ):
        worker = installation.worker(checkpoint_interval=5).start().ready()
        log = Log(installation)
        traffic = Traffic(
            broker.address, installation.topics, PARTITIONS, seed, RATINGS, REQUESTS, LOOSE_ITEMS
        )
        traffic.start()
        samples: list[Sample] = []
        ends = time.monotonic() + minutes * MINUTE
        while time.monotonic() < ends:
            time.sleep(min(MINUTE, max(0.0, ends - time.monotonic())))
            samples.append(Sample(_resident(worker), _open_files(worker)))
            say(_told(worker, log, installation.topics.ratings, samples[-1]))
        sent = traffic.stop()
        wait_until(lambda: _is_settled(worker, log, installation.topics), SETTLE_SECONDS, worker.log)
        log.close()
        learned, learned_summary = verdict.ratings(Oracle(installation), sent, worker)
        worker.stop()
        answered, answered_summary = verdict.requests(installation, sent, Events())
    say(learned_summary)
    say(answered_summary)
    return [*learned, *answered, *growth(samples)]


def growth(samples: list[Sample]) -> list[str]:
    """What has grown between the second third of a run and its last: the first third is warm-up.

    Parameters
    ----------
    samples : list of Sample
        Taken at equal distances.

    Returns
    -------
    list of str
        Sentences; none if nothing has grown.
    """
    third = len(samples) // 3
    if not third:
        return []
    middle, last = samples[third : 2 * third], samples[-third:]
    memory = [median(each.memory for each in part) for part in (middle, last)]
    files = [median(each.files for each in part) for part in (middle, last)]
    grown = []
    if memory[1] > memory[0] * (1 + GROWTH):
        grown.append(f"memory has grown from {memory[0] / 1e6:.0f} to {memory[1] / 1e6:.0f} MB")
    if files[1] > files[0] + FILES:
        grown.append(f"open files have grown from {files[0]:.0f} to {files[1]:.0f}")
    return grown


def _is_settled(worker: Worker, log: Log, topics: Topics) -> bool:
    learned = worker.sources == log.ends(topics.ratings) and worker.is_settled(log.ends(topics.journal))
    return learned and not log.lag(topics.requests)


def _told(worker: Worker, log: Log, topic: str, sample: Sample) -> str:
    sources, ends = worker.sources, log.ends(topic)
    lag = sum(end - sources.get(partition, 0) for partition, end in ends.items())
    replies = worker.metric("recommender_reply_seconds_count")
    slow = replies - worker.metric("recommender_reply_seconds_bucket", le="0.05")
    return (
        f"{sum(ends.values())} records, lag {lag}, memory {sample.memory / 1e6:.0f} MB, {sample.files} open "
        f"files, {replies:.0f} replies, {slow:.0f} of them after more than 50 ms"
    )


def _resident(worker: Worker) -> float:
    for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) * 1024
    return 0.0


def _open_files(worker: Worker) -> int:
    return sum(1 for _ in Path(f"/proc/{worker.pid}/fd").iterdir())
