"""One pass over a long log in a process of its own, so that its memory is its own: MODEL RATINGS SECONDS.

Records go to a shard as the worker hands them over; making them is not counted. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import ML_20M, Log, repeated
from benchmarks.records import TOPIC, Learning, fetched
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.journal.replica import Replica
from recommender.messages.requests import Request
from recommender.shard import warmup
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.replicas import HeldReplica

MILLION = 1_000_000
REQUESTS = 1000
#: Of the requests, so many come from the users with most ratings.
HEAVY = 50


def main(model: str, ratings: int, seconds: float) -> dict[str, Any]:
    """Learn, then ask, then save; stops learning after `seconds`."""
    warmup.warm((model.split("/")[0],))
    shape = ML_20M if ratings >= ML_20M.ratings else repeated(ML_20M, ratings)
    learning = Learning(model)
    before = _memory()
    costs, total, busy, users = _learn(learning, Log(shape, part=MILLION // 4), seconds)
    shard = learning.shard
    answers, busy_answers = _ask(shard, users)
    gap, took, size = asyncio.run(_save(learning.replica))
    return {
        "ratings": learning.offset,
        "seconds": total,
        "cpu_seconds": busy,
        "costs": costs,
        "memory": _memory(),
        "memory_before": before,
        "arrays": shard.history.nbytes / 2**20,
        "request_p50": float(np.percentile(answers, 50)),
        "request_p99": float(np.percentile(answers, 99)),
        "request_max": max(answers),
        "request_cpu_p50": float(np.percentile(busy_answers, 50)),
        "request_cpu_p99": float(np.percentile(busy_answers, 99)),
        "pause": gap,
        "save_seconds": took,
        "checkpoint": size,
        "users": len(shard.users),
        "items": len(shard.items),
    }


def _memory() -> float:
    """The most memory that this process has had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _learn(
    learning: Learning, log: Log, seconds: float
) -> tuple[list[float], float, float, np.ndarray[Any, Any]]:
    """Microseconds for each rating in every million, seconds and CPU seconds in all, and ratings by user."""
    costs: list[float] = []
    spent = begin = busy = 0.0
    counts = np.zeros(log.shape.users, np.int64)
    for chunk in log:
        records = fetched(chunk, learning.offset)
        counts += np.bincount(chunk.users, minlength=len(counts))
        while part := list(islice(records, 20_000)):
            started, before = time.perf_counter(), time.process_time()
            learning.take(part)
            spent += time.perf_counter() - started
            busy += time.process_time() - before
            done = learning.offset
            if done // MILLION > len(costs):
                costs.append(spent - begin)
                begin = spent
        if spent > seconds:
            break
    return costs, spent, busy, counts


def _ask(shard: Any, counts: np.ndarray[Any, Any]) -> tuple[list[float], list[float]]:
    """Milliseconds and CPU milliseconds of requests by users drawn by their ratings, and by the heaviest."""
    random = np.random.default_rng(0)
    drawn = random.choice(len(counts), REQUESTS - HEAVY, p=counts / counts.sum())
    users = np.concatenate([drawn, np.argsort(-counts)[:HEAVY]])
    shard.recommend(Request(user=str(users[0])))
    times, busy = [], []
    for user in random.permutation(users).tolist():
        started, before = time.perf_counter(), time.process_time()
        shard.recommend(Request(user=str(user), n=10))
        busy.append((time.process_time() - before) * 1e3)
        times.append((time.perf_counter() - started) * 1e3)
    return times, busy


async def _save(replica: Replica) -> tuple[float, float, float]:
    """The longest that saving keeps the event loop, in ms; how long it takes, in s; and its size, in MiB."""
    with tempfile.TemporaryDirectory() as directory:
        held = HeldReplica(replica, CheckpointStore(directory, Identity(TOPIC, "id", 1)), caught_up=True)
        checkpointing = Checkpointing(interval=0.0)
        gaps: list[float] = []
        ticker = asyncio.create_task(_tick(gaps))
        await asyncio.sleep(0.1)
        gaps.clear()
        started = time.perf_counter()
        while not checkpointing.is_quiet(held):
            await checkpointing.prepare(held)
        checkpointing.save(held)
        await checkpointing.settle(within=600.0)
        took = time.perf_counter() - started
        ticker.cancel()
        size = _size(Path(directory))
    return max(gaps) * 1e3, took, size / 2**20


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


async def _tick(gaps: list[float]) -> None:
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        gaps.append(now - last - 0.001)
        last = now


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))))
