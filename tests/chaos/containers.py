"""The workers of `deploy/compose.yml`, as somebody runs them who follows the documents."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from recommender.kafka.admin import open_admin
from recommender.kafka.topics import Topics
from recommender.settings import Settings
from tests.chaos.rolling import Fleet, roll
from tests.support.kafka import wait_until
from tests.support.worker_pages import WorkerPages
from tests.support.workers import Installation

FILE = Path(__file__).parents[2] / "deploy" / "compose.yml"
PROJECT = "recommender-rolling"
KAFKA = "localhost:9092"
NAMES, PORTS = ("worker-1", "worker-2"), (6066, 6067)
#: Building nothing and fetching nothing: Kafka's start, and a worker's.
UP_SECONDS = 300.0


class Containers(Fleet):
    """Two workers in containers.

    Parameters
    ----------
    directory : Path
    compose : sequence of str
        The command, such as ``docker compose``.
    image, next_image : str
        What they run at first, and after they were restarted.
    """

    def __init__(self, directory: Path, compose: Sequence[str], image: str, next_image: str) -> None:
        self.installation = Installation(KAFKA, directory, "rolling", partitions=0)
        self.installation.topics, self.installation.group = Topics(), Settings().group
        self._compose = [*compose, "-f", str(FILE), "-p", PROJECT]
        self._image, self._next_image = image, next_image
        self._pages = [WorkerPages(port) for port in PORTS]

    @property
    def workers(self) -> Sequence[WorkerPages]:
        """Their pages."""
        return self._pages

    def up(self) -> None:
        """Start Kafka and the workers."""
        self._run(self._image, "up", "-d")

    def down(self) -> None:
        """End them, and remove what they kept."""
        self._run(self._image, "down", "-v")

    def stop(self, number: int) -> None:
        """Stop a container, as long as its grace lasts."""
        self._run(self._image, "stop", NAMES[number])
        found = self._run(self._image, "ps", "-q", "-a", NAMES[number]).split()
        docker = [shutil.which("docker") or "docker", "inspect", "-f", "{{.State.ExitCode}}", *found]
        code = subprocess.run(docker, capture_output=True, text=True, check=True).stdout.strip()
        assert code == "0", f"{NAMES[number]} ended with exit code {code}:\n{self.log(number)}"

    def start(self, number: int) -> None:
        """Start it again, with the next image."""
        self._run(self._next_image, "up", "-d", "--no-deps", NAMES[number])

    def log(self, number: int) -> str:
        """What a worker has said."""
        return self._run(self._image, "logs", "--no-color", "--timestamps", "--tail", "100", NAMES[number])

    def _run(self, image: str, *arguments: str) -> str:
        environment = {**os.environ, "IMAGE": image}
        ran = subprocess.run(
            [*self._compose, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{arguments}: {ran.stdout}{ran.stderr}"
        return ran.stdout


@contextmanager
def containers(directory: Path, image: str, next_image: str) -> Iterator[Containers]:
    """Kafka and two workers in containers, gone at the end. `COMPOSE` names another command."""
    fleet = Containers(directory, shlex.split(os.environ.get("COMPOSE", "docker compose")), image, next_image)
    try:
        fleet.up()
        yield fleet
    finally:
        fleet.down()


def roll_containers(
    directory: Path,
    image: str,
    next_image: str,
    rounds: int,
    seed: int,
    ratings: float,
    requests: float,
    say: Callable[[str], None],
) -> list[str]:
    """Restart the containers one after another, each with the next image; what must not be."""
    say(f"{image}, and {next_image} after a restart")
    with containers(directory, image, next_image) as fleet:
        began = time.monotonic()
        with open_admin(KAFKA, UP_SECONDS):
            say(f"Kafka answers after {time.monotonic() - began:.1f} s")
        for each in fleet.workers:
            wait_until(each.is_ready, UP_SECONDS)
        say(f"workers are ready after {time.monotonic() - began:.1f} s")
        violations = roll(fleet, rounds, seed, ratings, requests, say)
        if violations:
            for number in range(len(NAMES)):
                say(fleet.log(number))
        return violations
