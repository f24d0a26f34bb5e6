"""The bytes that a rating takes, for whoever has to buy disks: ``python -m benchmarks.sizes [COUNT]``.

A worker learns a log of MovieLens 20M's shape from its topic. What the broker then has on its disk, and what
the worker has saved, is divided by the ratings. Nothing is compressed: producers that compress need less.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from benchmarks.data import ML_20M, repeated
from benchmarks.editions import HERE
from benchmarks.installation import installed
from benchmarks.kafka_log import fill, messages
from recommender.kafka.local.broker import LocalBroker
from recommender.shard import warmup

PATIENCE = 600.0


def size_of(directory: Path, pattern: str) -> int:
    """Bytes of the records, without indexes, which are allocated ahead."""
    return sum(each.stat().st_size for each in directory.glob(pattern))


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main(count: int) -> None:
    """Measure and print."""
    shape = repeated(ML_20M, round(count * 1.05))
    warmup.warm(("blend",))
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as data,
        LocalBroker(data=data, heap="768m") as broker,
        installed(broker.address, HERE) as installation,
    ):
        fill(broker.address, installation.topics.ratings, messages(shape, count))
        with installation.worker(checkpoint_interval=5).start() as worker:
            worker.ready(PATIENCE)
            begun = time.perf_counter()
            worker.learned_up_to(count, PATIENCE, 0.2)
            learned, memory = time.perf_counter() - begun, resident(worker.pid)
            worker.saved(PATIENCE)
            ((_, shard),) = worker.shards().items()
        log = Path(data) / "log"
        topics = {
            "ratings topic, JSON": size_of(log, f"{installation.topics.ratings}-0/*.log"),
            "journal": size_of(log, f"{installation.topics.journal}-0/*.log"),
            "newest checkpoint": max(each.stat().st_size for each in installation.checkpoints.rglob("*.npz")),
        }
        print(f"{count:,} ratings of {shard['users']:,} users and {shard['items']:,} items")
        for what, size in topics.items():
            print(f"{what:24s} {size / 2**20:9.1f} MiB {size / count:8.1f} bytes a rating")
        print(f"memory of the worker     {memory:9.1f} MiB, learned in {learned:.1f} s")
        for what, kept in (("from a checkpoint", True), ("from the journal alone", False)):
            settings = {} if kept else {"checkpoints": Path(data) / "none"}
            with installation.worker(**settings).start() as worker:
                print(f"ready {what:24s} after {worker.ready(PATIENCE).started_in:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000)
