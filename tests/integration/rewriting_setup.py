"""Two workers on a journal that is rewritten while ratings and requests keep coming."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from click.testing import CliRunner, Result
from kafka import TopicPartition

from recommender.cli.main import recommender
from recommender.client import Client
from tests.support.asking import Asker
from tests.support.journal_log import following, reading
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, generated, rating
from tests.support.workers import PATIENCE, Installation, Worker

PARTITIONS = 2
SETTINGS = {"model": "popular", "test_every": "3"}
BEGUN, TAKEN = "was rewritten: it is learned again", "takes over the rewritten journal"


class Running(NamedTuple):
    """Two workers with the same checkpoints."""

    installation: Installation
    workers: tuple[Worker, Worker]

    def environment(self) -> dict[str, str]:
        """The settings of commands."""
        here = self.installation
        values = {"broker": here.kafka, "topic_prefix": here.topics.prefix, "group": here.group}
        given = {**values, "checkpoints": str(here.checkpoints), **SETTINGS}
        return {f"RECOMMENDER_{name.upper()}": value for name, value in given.items()}

    def run(self, *arguments: str) -> Result:
        """Run a command to its end."""
        return CliRunner(env=self.environment()).invoke(recommender, arguments)

    def rate(self, secret: str, seed: int, count: int = 600) -> None:
        """Write ratings, of which some are of somebody who is to be forgotten."""
        records = generated(count, seed=seed, users=120, items=150)
        theirs = [rating(secret, f"i{number}", 5) for number in range(5)]
        here, ends = self.installation, dict[int, int]()
        for partition, offset in produce(here.kafka, here.topics.ratings, [*records, *theirs]):
            ends[partition] = max(ends.get(partition, 0), offset + 1)
        self.workers[1].learned(ends)  # which none of the tests stops

    def journal(self) -> list[bytes]:
        """All records of the journal that can be read."""
        here, found = self.installation, []
        with reading(here.kafka) as consumer:
            partitions = sorted(consumer.partitions_for_topic(here.topics.journal) or ())
            begins = consumer.beginning_offsets(
                [TopicPartition(here.topics.journal, each) for each in partitions]
            )
            positions = {each: begins[here.topics.journal, each] for each in partitions}
            for _, records in following(consumer, here.topics.journal, positions):
                found += [record.value for record in records]
        return found

    def end(self) -> int:
        """The end of the journal."""
        here = self.installation
        with reading(here.kafka) as consumer:
            return int(consumer.end_offsets([TopicPartition(here.topics.journal, 0)])[here.topics.journal, 0])

    def places(self, secret: str) -> list[str]:
        """Where an id is found."""
        wanted, here = secret.encode(), self.installation
        found = []
        for path in here.checkpoints.rglob("*"):
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                found += [path.name] * (wanted in path.read_bytes())
        found += ["journal"] * any(wanted in each for each in self.journal())
        return found + [f"status of {each.port}" for each in self.workers if wanted in each.page("status")[1]]

    def taken_over(self, times: int) -> None:
        """Wait until both have taken it over so often, at least."""

        def said() -> str:
            return "\n\n".join(each.log for each in self.workers)

        wait_until(lambda: all(each.log.count(TAKEN) >= times for each in self.workers), PATIENCE, said)

    def assert_learned(self, *workers: Worker) -> None:
        """Compare the workers with one pass over what the journal has now."""
        oracle = Oracle(self.installation, **SETTINGS)
        oracle.assert_followed(*(workers or self.workers))


@contextmanager
def rated_and_asked(running: Running, asker: Asker) -> Iterator[list[int]]:
    """Ratings and requests keep coming one by one during what happens inside; how many ratings were taken."""
    over, taken = threading.Event(), [0]

    def come() -> None:
        here = running.installation
        with Client(here.kafka, here.topics.prefix) as client:
            while not over.wait(0.01):
                client.rate(f"meanwhile-{taken[0] % 50}", f"i{taken[0] % 20}", 4)
                taken[0] += 1
                asker.send({"user": "u1", "n": 3}, partition=taken[0] % PARTITIONS)

    thread = threading.Thread(target=come)
    thread.start()
    try:
        yield taken
    finally:
        over.set()
        thread.join()
