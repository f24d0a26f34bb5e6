"""The worker as a process of its own, watched by its status page: this edition's or an earlier one's.

A worker of the journal tells of each partition of the journal, whose position counts blocks; the one before
told of each partition of the ratings that it held, whose offset counts records. Both count the events they
learned, which is what rates are made of.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Self

from benchmarks.editions import HERE, Edition
from recommender.kafka.local.guarded import Guarded
from recommender.kafka.local.ports import HOST, free_port

READY_SECONDS = 60.0
STOP_SECONDS = 20.0
#: Between two looks of whoever waits for a worker.
LOOK_SECONDS = 0.02
Look = tuple[float, int]


class Worker:
    """``recommender worker`` with a directory that is new and gone afterwards.

    Parameters
    ----------
    edition : Edition
    **settings
        By their names without ``RECOMMENDER_``. Checkpoints are in its own directory, unless told otherwise.

    Attributes
    ----------
    port : int
        Of its pages.
    started_in : float
        Seconds from its start until it was ready.
    """

    def __init__(self, edition: Edition = HERE, **settings: object) -> None:
        self._guardian = Guarded()
        self._edition = edition
        self.port = free_port()
        chosen = {"checkpoints": self._guardian.directory / "checkpoints", "log_level": "warning", **settings}
        self._settings = {**chosen, "web_port": self.port}
        self._pid: int | None = None
        self.started_in = float("nan")

    def start(self) -> Self:
        """Start it; does not wait."""
        unset = [part for name in os.environ if name.startswith("RECOMMENDER_") for part in ("-u", name)]
        values = [f"RECOMMENDER_{name.upper()}={value}" for name, value in self._settings.items()]
        values.append(f"PYTHONPATH={os.pathsep.join(self._edition.paths)}")
        self._begin = time.perf_counter()
        command = ["env", *unset, *values, self._edition.python, "-m", "recommender", "worker"]
        self._pid = self._guardian.run(command)
        if self._pid is None:
            raise RuntimeError("the worker could not be started")
        return self

    @property
    def pid(self) -> int:
        """The worker's process id."""
        if self._pid is None:
            raise RuntimeError("the worker does not run")
        return self._pid

    def ready(self, seconds: float = READY_SECONDS) -> Self:
        """Wait until it says that it is ready to answer."""
        while not self._page("readyz"):
            code = self._guardian.exited(0.01)
            if code is not None or time.perf_counter() - self._begin > seconds:
                raise RuntimeError(f"the worker was not ready (exit code {code}):\n{self.log()[-2000:]}")
        self.started_in = time.perf_counter() - self._begin
        return self

    def shards(self) -> dict[str, dict[str, Any]]:
        """The status of each shard that it has, by partition; none while it does not answer."""
        page = self._page("status")
        if not page:
            code = self._guardian.exited(0.0)
            if code is not None:
                raise RuntimeError(f"the worker ended with exit code {code}:\n{self.log()[-2000:]}")
            return {}
        status: dict[str, Any] = json.loads(page)
        return shards_of(status)

    def learned(self) -> int:
        """The number of events that the worker has learned."""
        return sum(int(each.get("events", 0)) for each in self.shards().values())

    def learned_up_to(self, count: int, seconds: float, pause: float = LOOK_SECONDS) -> list[Look]:
        """Wait until it has learned `count` events; times and counts that were seen on the way.

        Raises
        ------
        RuntimeError
            It took longer than `seconds`, or the worker ended.
        """
        seen: list[Look] = []
        begin = time.perf_counter()
        while True:
            learned = self.learned()
            # The answer tells where learning stood when it was made, which is when it arrives here.
            seen.append((time.perf_counter(), learned))
            if learned >= count:
                return seen
            if seen[-1][0] - begin > seconds:
                raise RuntimeError(f"only {learned} of {count} ratings were learned in {seconds:.0f} s")
            time.sleep(pause)

    def saved(self, seconds: float) -> Self:
        """Wait until all that it has learned is in checkpoints."""
        deadline = time.perf_counter() + seconds
        while not (shards := self.shards()) or any(each["saved"] < place(each) for each in shards.values()):
            if time.perf_counter() > deadline:
                raise RuntimeError(f"not saved within {seconds:.0f} s: {self.log()[-2000:]}")
            time.sleep(LOOK_SECONDS)
        return self

    def cpu_seconds(self) -> float:
        """The processor time that it has used; NaN where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return float("nan")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self) -> str:
        """The output of the worker."""
        path = Path(self._guardian.directory) / "broker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        """End it with SIGTERM: it saves, and leaves its group."""
        self._guardian.end("terminate", STOP_SECONDS)
        self._pid = None

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._guardian.end("kill", STOP_SECONDS)
        self._pid = None

    def close(self) -> None:
        """End it, if it still runs, and remove its directory."""
        if self._pid is not None:
            self.stop()
        self._guardian.close()
        shutil.rmtree(self._guardian.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _page(self, path: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}/{path}", timeout=10) as answer:
                return bytes(answer.read())
        except (urllib.error.HTTPError, OSError):
            return b""


def shards_of(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The fields of each shard on a status page: with the place in the journal, where there is a journal."""
    journal, shards = status.get("journal", {}), status.get("shards", {})
    return {each: {**shards.get(each, {}), **journal.get(each, {})} for each in {**shards, **journal}}


def place(shard: dict[str, Any]) -> int:
    """The place of a shard in the journal, or in its partition of the ratings."""
    return int(shard["position"] if "position" in shard else shard["offset"])


def learned_by(workers: Sequence[Worker]) -> int:
    """The number of events that workers have learned between them: once, where each learns everything.

    None as long as one of them has learned nothing.
    """
    shards = [each.shards() for each in workers]
    learned = [sum(int(shard.get("events", 0)) for shard in each.values()) for each in shards]
    if not all(learned):
        return 0
    return min(learned) if any(follows(each) for each in shards) else sum(learned)


def follows(shards: dict[str, dict[str, Any]]) -> bool:
    """Return True if a worker follows a journal, by what it says of its shards."""
    return any("position" in shard for shard in shards.values())


def await_learned(workers: Sequence[Worker], count: int, seconds: float) -> None:
    """Wait until workers have learned so many events between them.

    Raises
    ------
    RuntimeError
        It took longer than `seconds`, or a worker ended.
    """
    deadline = time.perf_counter() + seconds
    while (learned := learned_by(workers)) < count:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"only {learned} of {count} ratings were learned in {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)


def under_way(seen: Sequence[Look], count: int) -> tuple[int, int]:
    """The first and the last look that found learning under way."""
    found = [number for number, (_, learned) in enumerate(seen) if 0 < learned < count]
    if len(found) < 3:  # it was over before it could be watched
        idle = [number for number, (_, learned) in enumerate(seen) if learned == 0]
        return max(idle, default=0), len(seen) - 1
    return found[0], found[-1]


def pin(pid: int, cores: Collection[int]) -> None:
    """Let a process, and each of its threads, run on some cores only.

    Raises
    ------
    RuntimeError
        The system cannot do so.
    """
    threads = Path(f"/proc/{pid}/task")
    if not threads.exists():
        raise RuntimeError("pinning a process to cores needs Linux")
    for each in threads.iterdir():
        os.sched_setaffinity(int(each.name), cores)


def cores_here() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
