"""Real workers for the tests: processes that are watched by their pages and never outlive the test."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recommender.kafka.admin import open_admin
from recommender.kafka.local.guarded import Guarded
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics, ensure
from recommender.settings import PREFIX
from tests.support.kafka import wait_until
from tests.support.preloaded import Forked, address
from tests.support.worker_pages import PATIENCE, WorkerPages

__all__ = ["PATIENCE", "START_PATIENCE", "STOP_SECONDS", "Installation", "Worker", "installed"]

#: The first start on a machine compiles the models' kernels.
START_PATIENCE = 150.0
#: A worker that was asked to stop must be gone within this many seconds.
STOP_SECONDS = 5.0
DEFAULTS = {"session_timeout": "6", "checkpoint_interval": "0.5"}


class Worker(WorkerPages):
    """A worker process, run by a guardian that ends it when the tests are gone.

    Parameters
    ----------
    directory : path
        Where it runs and logs; made if it does not exist.
    settings : dict of str to str
        By their names without ``RECOMMENDER_``; nothing of the tests' own environment counts.

    """

    def __init__(self, directory: Path, settings: dict[str, str]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        super().__init__(int(settings.get("web_port") or free_port()))
        self._settings = {**settings, "web_port": str(self.port)}
        self._directory = directory
        self._guardian: Guarded | Forked | None = None
        self._log = directory / "broker.log"
        self._pid: int | None = None

    def start(
        self, *arguments: str, command: tuple[str, ...] = ("recommender", "worker"), fresh: bool = False
    ) -> Worker:
        """Start ``recommender worker`` with these arguments, or another module; does not wait.

        It is forked from a process that has all libraries loaded already, unless it is to be `fresh`.
        """
        values = {f"{PREFIX}{name.upper()}": value for name, value in self._settings.items()}
        preloaded = address() if command[0] == "recommender" and not fresh else None
        if preloaded is not None:
            forked = self._guardian = self._guardian or Forked(preloaded, self._directory)
            assert isinstance(forked, Forked), "one that was fresh is started again as such"
            self._pid = forked.run(values, [*command[1:], *arguments])
            return self
        guarded = self._guardian = self._guardian or Guarded(self._directory)
        assert isinstance(guarded, Guarded), "one that was forked is started again as such"
        unset = [part for name in os.environ if name.startswith(PREFIX) for part in ("-u", name)]
        given = [f"{name}={value}" for name, value in values.items()]
        self._pid = guarded.run(["env", *unset, *given, sys.executable, "-m", *command, *arguments])
        assert self._pid is not None, self.log
        return self

    def ready(self, seconds: float = START_PATIENCE) -> Worker:
        """Wait until its page says that it is ready."""

        def answers() -> bool:
            code = self.ended()
            if code is not None:
                raise AssertionError(f"ended with exit code {code}:\n{self.log}")
            return self.page("readyz")[0] == 200

        wait_until(answers, seconds, lambda: f"not ready: {self.page('readyz')}\n{self.log}")
        return self

    @property
    def log(self) -> str:
        """All that it has printed, over all of its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def exit_code(self, seconds: float = PATIENCE) -> int:
        """Wait for its end."""
        code = self._exited(seconds)
        assert code is not None, f"still running after {seconds:g} s:\n{self.log}"
        return code

    def _exited(self, seconds: float) -> int | None:
        """Wait for its end; the exit code, or None if it still runs."""
        assert self._guardian is not None, "never started"
        code = self._guardian.exited(seconds)
        if code is not None:
            self._pid = None
        return code

    @property
    def pid(self) -> int:
        """Of its process, which must run."""
        assert self._pid is not None, "not running"
        return self._pid

    def ended(self) -> int | None:
        """The exit code if it has ended by itself, else None."""
        return None if self._pid is None else self._exited(0.0)

    def kill(self) -> None:
        """End it without warning."""
        self.send_signal(signal.SIGKILL)
        assert self.exit_code() == -signal.SIGKILL

    def stop(self, seconds: float = PATIENCE) -> None:
        """Ask it to stop and wait until it has, without complaint."""
        self.send_signal(signal.SIGTERM)
        assert self.exit_code(seconds) == 0, self.log

    def close(self) -> None:
        """End it, whatever it does."""
        if self._pid is not None:
            with suppress(ProcessLookupError):
                self.send_signal(signal.SIGKILL)
            self._exited(PATIENCE)
        if self._guardian is not None:
            self._guardian.close()

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; does not wait."""
        os.kill(self.pid, number)


class Installation:
    """Topics of their own, a group, a directory for checkpoints, and the workers on them."""

    def __init__(
        self, kafka: str, directory: Path, name: str, partitions: int, journal_partitions: int = 1
    ) -> None:
        unique = f"{name}-{uuid.uuid4().hex[:8]}"
        self.kafka = kafka
        self.directory = directory
        self.group = unique
        self.topics = Topics(unique + "-")
        self.checkpoints = directory / "checkpoints"
        self._workers: list[Worker] = []
        self.partitions = partitions
        if partitions:
            ensure(kafka, self.topics, partitions, journal_partitions=journal_partitions)

    def group_of(self, topic: str) -> str:
        """The consumer group in which a topic is read."""
        return f"{self.group}-requests" if topic == self.topics.requests else self.group

    def members(self, topic: str) -> dict[str, int]:
        """How many partitions of a topic each member of its group has, as the broker says."""
        group = self.group_of(topic)
        with open_admin(self.kafka, 10) as admin:
            described = admin.describe_groups([group])[group]
        if described["group_state"] != "Stable":
            return {}
        return {each["member_id"]: _partitions_of(each, topic) for each in described["members"]}

    def worker(self, **settings: object) -> Worker:
        """A worker that is not started yet."""
        ours = {
            "broker": self.kafka,
            "topic_prefix": self.topics.prefix,
            "group": self.group,
            "checkpoints": str(self.checkpoints),
        }
        given = {name: str(value) for name, value in settings.items()}
        worker = Worker(self.directory / f"worker-{len(self._workers)}", {**DEFAULTS, **ours, **given})
        self._workers.append(worker)
        return worker

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Those that were made, in their order."""
        return tuple(self._workers)

    def close(self) -> None:
        """End all workers."""
        for each in self._workers:
            each.close()


def _partitions_of(member: Mapping[str, Any], topic: str) -> int:
    assigned = member["member_assignment"]["assigned_partitions"]
    return sum(len(each["partitions"]) for each in assigned if each["topic"] == topic)


@contextmanager
def installed(
    kafka: str, directory: Path, name: str = "worker", partitions: int = 1, journal_partitions: int = 1
) -> Iterator[Installation]:
    """Topics and workers for one test or one module; `partitions` 0 makes no topics."""
    installation = Installation(kafka, directory, name, partitions, journal_partitions)
    try:
        yield installation
    finally:
        installation.close()
