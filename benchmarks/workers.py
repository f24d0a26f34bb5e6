"""The worker as a process of its own, watched by its status page."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from recommender.kafka.local.guarded import Guarded
from recommender.kafka.local.ports import HOST, free_port

READY_SECONDS = 60.0
STOP_SECONDS = 20.0


class Worker:
    """``recommender worker`` with a checkpoint directory that is new and gone afterwards.

    Parameters
    ----------
    **settings
        By their names without ``RECOMMENDER_``.

    Attributes
    ----------
    started_in : float
        Seconds from its start until it was ready: partitions assigned, kernels warm.
    """

    def __init__(self, **settings: object) -> None:
        self._guardian = Guarded()
        self.port = free_port()
        chosen = {"checkpoints": self._guardian.directory / "checkpoints", "log_level": "warning", **settings}
        self._settings = {**chosen, "web_port": self.port}
        self.started_in = float("nan")

    def start(self) -> Self:
        """Start it; does not wait."""
        unset = [part for name in os.environ if name.startswith("RECOMMENDER_") for part in ("-u", name)]
        values = [f"RECOMMENDER_{name.upper()}={value}" for name, value in self._settings.items()]
        # The process runs in a directory of its own: what is imported from here must be found from there.
        paths = [f"PYTHONPATH={os.pathsep.join(str(Path(each or '.').absolute()) for each in sys.path)}"]
        self._begin = time.perf_counter()
        if (
            self._guardian.run(
                ["env", *unset, *paths, *values, sys.executable, "-m", "recommender", "worker"]
            )
            is None
        ):
            raise RuntimeError("the worker could not be started")
        return self

    def ready(self) -> Self:
        """Wait until it has partitions and answers."""
        while not self._page("readyz"):
            code = self._guardian.exited(0.01)
            if code is not None or time.perf_counter() - self._begin > READY_SECONDS:
                raise RuntimeError(f"the worker was not ready (exit code {code}):\n{self.log()[-2000:]}")
        self.started_in = time.perf_counter() - self._begin
        return self

    def offsets(self) -> dict[int, int]:
        """The next offset of each partition that it holds; none while it does not answer."""
        page = self._page("status")
        if not page:
            code = self._guardian.exited(0.0)
            if code is not None:
                raise RuntimeError(f"the worker ended with exit code {code}:\n{self.log()[-2000:]}")
            return {}
        shards: dict[str, Any] = json.loads(page)["shards"]
        return {int(partition): int(shard["offset"]) for partition, shard in shards.items()}

    def learned_up_to(self, offset: int, seconds: float, pause: float = 0.02) -> list[tuple[float, int]]:
        """Wait until it has learned so many ratings; times and offsets that were seen on the way.

        Raises
        ------
        RuntimeError
            It took longer than `seconds`, or the worker ended.
        """
        seen: list[tuple[float, int]] = []
        begin = time.perf_counter()
        while True:
            offsets = self.offsets()
            # The answer tells where learning stood when it was made, which is when it arrives here.
            seen.append((time.perf_counter(), sum(offsets.values())))
            if seen[-1][1] >= offset:
                return seen
            if seen[-1][0] - begin > seconds:
                raise RuntimeError(f"only {seen[-1][1]} of {offset} ratings were learned in {seconds:.0f} s")
            time.sleep(pause)

    def log(self) -> str:
        """What it printed."""
        path = Path(self._guardian.directory) / "broker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """End it and remove its directory."""
        self._guardian.end("terminate", STOP_SECONDS)
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
