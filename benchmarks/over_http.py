"""The time that a call over HTTP takes, and how many a second a worker answers.

100,000 ratings of 1,682 items are known. *Idle*: one connection, one call after the other. *Saturated*: each
of 32 connections asks again as soon as it is answered. The caller writes and reads bytes, so that what it
takes itself is little; it has a process of its own.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from functools import partial
from typing import cast

import msgspec
import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import HERE
from benchmarks.installation import PATIENCE, installed, users_of
from benchmarks.workers import Worker
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import HOST
from recommender.settings import Settings
from recommender.shard import warmup

IDLE, SATURATED = "1 connection", "32 connections"
ANSWERS = Metric("answers", "1/s", "higher")
METRICS = [ANSWERS, Metric("p50", "ms", "lower"), Metric("p99", "ms", "lower")]
KNOWN = 100_000
CONNECTIONS = 32


def run(options: Options) -> list[Outcome]:
    """Teach a worker, then call it in turns."""
    idle, saturated = HERE.called(IDLE), HERE.called(SATURATED)
    outcome = Outcome("over_http", "A call over HTTP", idle, METRICS)
    known = options.size(KNOWN, 20_000)
    shape = repeated(ML_100K, round(KNOWN * 1.05))
    warmup.warm((Settings().model,))
    with LocalBroker() as broker, installed(broker.address, HERE) as place:
        place.teach(shape, known)
        users = users_of(shape, known)
        with place.worker().start() as worker:
            worker.ready(PATIENCE)
            seconds = options.size(5, 1)
            compete(
                outcome,
                [
                    (idle, lambda: called(worker, users, 1, seconds)),
                    (saturated, lambda: called(worker, users, CONNECTIONS, seconds)),
                ],
                options,
            )
    outcome.goals = [
        Goal("idle, p50", outcome.median(idle, "p50"), 1.2, "ms", "lower"),
        Goal("idle, p99", outcome.median(idle, "p99"), 3.0, "ms", "lower"),
        Goal("saturated", outcome.median(saturated, ANSWERS.name), 2_000, "1/s", "higher"),
        Goal("saturated, p99", outcome.median(saturated, "p99"), 25.0, "ms", "lower"),
    ]
    return [outcome]


def called(worker: Worker, users: list[str], connections: int, seconds: float) -> Values:
    """Call a worker from another process; how many answers a second there were, and how long they took."""
    command = [sys.executable, "-m", "benchmarks.over_http", str(worker.port), str(connections), str(seconds)]
    given = msgspec.json.encode(users)
    told = subprocess.run(command, input=given, capture_output=True, check=True, timeout=PATIENCE)
    return msgspec.json.decode(told.stdout, type=dict[str, float])


class _Caller(asyncio.Protocol):
    """One connection, which asks again as soon as it is answered.

    Parameters
    ----------
    users : list of str
    until : float
        Begin no call after that moment.
    took : list of float
        What each call took is appended.
    """

    def __init__(self, users: list[str], until: float, took: list[float]) -> None:
        self._users, self._until, self._took = users, until, took
        self._number, self._begun, self._found = 0, 0.0, b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        user = self._users[self._number % len(self._users)]
        self._number += 1
        self._begun = time.perf_counter()
        self._transport.write(f"GET /recommend?user={user}&n=10 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._found += data
        head, end, body = self._found.partition(b"\r\n\r\n")
        if not end or len(body) < int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200 "):
            self.done.set_exception(RuntimeError(f"answered {head.decode()!r}"))
            return
        self._took.append(now - self._begun)
        self._found = b""
        if now < self._until:
            self._ask()
        else:
            self.done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or RuntimeError("the worker closed the connection"))


async def _calls(port: int, users: list[str], connections: int, seconds: float) -> Values:
    took: list[float] = []
    begun = time.perf_counter()
    loop, callers = asyncio.get_running_loop(), list[_Caller]()
    for each in range(connections):
        ask = partial(_Caller, users[each:] + users[:each], begun + seconds, took)
        _, caller = await loop.create_connection(ask, HOST, port)
        callers.append(caller)
    await asyncio.gather(*(caller.done for caller in callers))
    passed = time.perf_counter() - begun
    p50, p99 = np.percentile(np.array(took) * 1e3, [50, 99]).tolist()
    return {ANSWERS.name: len(took) / passed, "p50": p50, "p99": p99}


def _main(port: str, connections: str, seconds: str) -> None:
    users = msgspec.json.decode(sys.stdin.buffer.read(), type=list[str])
    values = asyncio.run(_calls(int(port), users, int(connections), float(seconds)))
    sys.stdout.buffer.write(msgspec.json.encode(values))


if __name__ == "__main__":
    _main(*sys.argv[1:])
