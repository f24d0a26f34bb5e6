"""Requests in the background: asked by a client of its own, and what became of each."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.environments import PeerError, command_of, environment_in
from benchmarks.workers import pin

#: For a client that connects, and for one that waits for its last replies.
START_SECONDS, END_SECONDS = 60.0, 60.0


@dataclass(slots=True)
class Replies:
    """The replies as a client saw them.

    Attributes
    ----------
    due : float array
        When each request was due, on the clock of `time.monotonic`.
    took : float array
        Milliseconds from then to its reply; endless for those that had none.
    """

    due: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    took: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def since(self, moment: float, until: float = float("inf")) -> Replies:
        """The replies that were due between two moments."""
        chosen = (self.due >= moment) & (self.due < until)
        return Replies(self.due[chosen], self.took[chosen])

    def percentile(self, share: float) -> float:
        """The milliseconds that so many per cent of the replies took at most."""
        return float(np.percentile(self.took, share, method="higher")) if len(self.took) else float("nan")

    def rate(self, begin: float, end: float) -> float:
        """Replies a second between two moments."""
        arrived = self.due + self.took / 1e3
        return float(np.count_nonzero((arrived >= begin) & (arrived < end)) / (end - begin))

    def late_until(self, milliseconds: float) -> float:
        """The time of the last reply that took longer than so; the clock's beginning where none did."""
        late = self.took > milliseconds
        return float(np.max(self.due[late] + self.took[late] / 1e3, initial=0.0))


@contextmanager
def asking(
    address: str,
    prefix: str,
    users: Sequence[str],
    *,
    rate: float = 0.0,
    window: int = 0,
    cores: Collection[int] = (),
) -> Iterator[Replies]:
    """Ask as long as the block runs; the replies are complete after it.

    Parameters
    ----------
    address, prefix : str
    users : sequence of str
        Whose recommendations are asked for, in turns.
    rate : float
        Requests a second, whether or not replies keep up.
    window : int
        Without a rate: requests that are under way all the time.
    cores : collection of int
        Those that the client may use; by default all.

    Raises
    ------
    PeerError
        It did not start, or a request was answered with a failure.
    """
    replies = Replies()
    with tempfile.TemporaryDirectory(prefix="peer-") as directory:
        process = subprocess.Popen(
            command_of("confluent_load", (address, prefix, rate, window, *users)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_in(directory),
            cwd=directory,
        )
        with process:
            assert process.stdout is not None
            if cores:
                pin(process.pid, cores)
            if process.stdout.readline().strip() != "ready":
                raise PeerError(f"the client that asks ended with exit code {process.wait(START_SECONDS)}")
            try:
                yield replies
            except BaseException:
                process.kill()
                raise
            told = process.communicate("", END_SECONDS)[0]
    found = json.loads(told)
    if found["failed"]:
        raise PeerError(f"{found['failed']} requests were answered with a failure: {found['failures'][0]}")
    replies.due, replies.took = np.array(found["due"]), np.array(found["took"])
    replies.took[replies.took < 0] = np.inf


def answered(
    address: str,
    prefix: str,
    users: Sequence[str],
    seconds: float,
    *,
    rate: float = 0.0,
    window: int = 0,
    cores: Collection[int] = (),
) -> tuple[float, Replies]:
    """Ask for so many seconds; replies a second meanwhile, and the replies."""
    with asking(address, prefix, users, rate=rate, window=window, cores=cores) as replies:
        begin = time.monotonic()
        time.sleep(seconds)
        end = time.monotonic()
    return replies.rate(begin, end), replies
