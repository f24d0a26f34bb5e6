"""One fuzz run on a real broker from the first record to the verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from tests.chaos import fuzz_verdict
from tests.chaos.fuzz_asking import Questions
from tests.chaos.fuzz_records import LATEST
from tests.chaos.fuzz_senders import Senders, Written
from tests.chaos.recovery import Log
from tests.support.brokers import local_broker
from tests.support.kafka import wait_until
from tests.support.worker_logs import Oracle
from tests.support.workers import PATIENCE, Installation, Worker, installed

PARTITIONS = 3
WORKERS = 2
#: Seconds without any progress after which it is given up.
STANDSTILL = 90.0
REQUEST_SECONDS = 0.05
#: So that topics take times that are far away, and keep all of it in one piece.
SETTINGS = {"message.timestamp.after.max.ms": str(LATEST), "segment.ms": str(LATEST)}
LOG_CHARACTERS = 5000


def fuzz_anywhere(
    kafka: str | None, directory: Path, count: int, seed: int, say: Callable[[str], None]
) -> list[str]:
    """The same on a broker that is started for it, where none is given."""
    if kafka:
        return fuzz_broker(kafka, directory, count, seed, say)
    with local_broker() as address:
        return fuzz_broker(address, directory, count, seed, say)


def fuzz_broker(kafka: str, directory: Path, count: int, seed: int, say: Callable[[str], None]) -> list[str]:
    """Two workers learn so many records of all kinds, and answer requests meanwhile.

    Parameters
    ----------
    kafka : str
        Bootstrap servers.
    directory : Path
        For checkpoints and logs.
    count, seed : int
    say : function
        Told what happens, line by line.

    Returns
    -------
    list of str
        What must not be.
    """
    started = time.monotonic()
    with installed(kafka, directory, "fuzz", PARTITIONS) as installation:
        _take_any_time(installation)
        # Nobody is to die here, so the group waits longer than a busy machine may stand still.
        workers = [installation.worker(session_timeout=45).start() for _ in range(WORKERS)]
        for each in workers:
            each.ready()
        wait_until(lambda: _have_parts(installation), PATIENCE, "the workers do not share the partitions")
        questions = Questions(installation, seed, REQUEST_SECONDS)
        questions.start()
        senders = Senders(kafka, installation.topics.ratings, PARTITIONS, seed)
        began = time.monotonic()
        written = senders.write(count, _teller(count, workers, say))
        say(_told(written, time.monotonic() - began))
        violations = [f"Kafka did not take {each}" for each in written.refused]
        violations += _judged(installation, workers, written, questions, say)
        say(f"{time.monotonic() - began:.0f} s from the first record to the verdict; "
            f"{time.monotonic() - started:.0f} s in all")  # fmt: skip
        if violations:
            for worker in workers:
                say(worker.log[-LOG_CHARACTERS:])
    return violations


def _judged(
    installation: Installation,
    workers: list[Worker],
    written: Written,
    questions: Questions,
    say: Callable[[str], None],
) -> list[str]:
    violations = _settled(installation, workers, installation.topics.ratings)
    asked, told = questions.stop()
    asked += _settled(installation, workers, installation.topics.requests)
    violations += asked
    say(told)
    oracle = Oracle(installation)
    oracle.look()
    try:
        oracle.assert_followed(*workers)
        say(f"both workers have the hash and the digest of one pass: {oracle.replica.rule.hash:016x}")
    except AssertionError as error:
        violations.append(f"workers and journal disagree: {str(error)[:LOG_CHARACTERS]}")
    for found, told in (
        fuzz_verdict.learned(oracle, written),
        fuzz_verdict.letters(installation, written, questions.buried),
    ):
        violations += found
        say(told)
    for number, worker in enumerate(workers):
        if "Traceback" in worker.log:
            violations.append(f"worker {number} has logged a traceback")
        if worker.ended() is None:
            worker.stop()
        else:
            violations.append(f"worker {number} has ended")
    return violations


def _settled(installation: Installation, workers: list[Worker], topic: str) -> list[str]:
    """Wait until all of a topic is committed, for as long as something moves."""
    log = Log(installation)
    last, since = -1, time.monotonic()
    try:
        while lag := log.lag(topic):
            if lag != last:
                last, since = lag, time.monotonic()
            if dead := [number for number, each in enumerate(workers) if each.ended() is not None]:
                return [f"workers {dead} have ended, and {topic} has a lag of {lag}"]
            if time.monotonic() - since > STANDSTILL:
                return [f"the lag stays: {topic} is committed {log.committed(topic)} of {log.ends(topic)}"]
            time.sleep(0.2)
    finally:
        log.close()
    return []


def _have_parts(installation: Installation) -> bool:
    for topic in (installation.topics.ratings, installation.topics.requests):
        members = installation.members(topic)
        if len(members) != WORKERS or sorted(members.values()) != [1, 2]:
            return False
    return True


def _take_any_time(installation: Installation) -> None:
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in SETTINGS.items()
    ]
    topics = installation.topics
    resources = [
        ConfigResource(ResourceType.TOPIC, each, incremental_configs=entries)
        for each in (topics.ratings, topics.requests)
    ]
    admin = AdminClient({"bootstrap.servers": installation.kafka, "log_level": 0})
    for each in admin.incremental_alter_configs(resources).values():
        each.result(PATIENCE)


def _teller(count: int, workers: list[Worker], say: Callable[[str], None]) -> Callable[[int], None]:
    """Say each tenth, and end where a worker has ended."""
    told = 0

    def tell(made: int) -> None:
        nonlocal told
        if made * 10 // count > told:
            told = made * 10 // count
            say(f"{made} records")
            for number, each in enumerate(workers):
                code = each.ended()
                assert code is None, f"worker {number} ended with {code}:\n{each.log[-LOG_CHARACTERS:]}"

    return tell


def _told(written: Written, seconds: float) -> str:
    ways = ", ".join(f"{number} {way}" for way, number in sorted(written.ways.items()))
    kinds = Counter((fate.kind, fate.rating is not None) for fate in written.fates.values())
    what = ", ".join(
        f"{number} {kind} ({'learned' if good else 'letter'})"
        for (kind, good), number in sorted(kinds.items())
    )
    committed, aborted = len(written.fates), len(written.aborted)
    return (
        f"{committed} records committed and {aborted} aborted in {seconds:.0f} s\nways: {ways}\nkinds: {what}"
    )
