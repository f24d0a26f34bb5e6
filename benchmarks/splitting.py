"""The cost of splitting users over K shards that share nothing, and the memory that a shard takes.

`python -m benchmarks.splitting` prints recall@10 on MovieLens 100K, where the users of a shard are those
whose ratings go to one partition of a journal of K. With `--memory` it prints the bytes that the default
model takes for a user, an item and a rating, from generated logs of several shapes.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Log, Shape
from benchmarks.records import Learning, fetched
from recommender.evaluation import rank_metrics
from recommender.evaluation.datasets import movielens
from recommender.evaluation.prequential import Replay
from recommender.evaluation.streams import Stream
from recommender.messages.partitioning import partition_of
from recommender.shard import warmup

MODEL = "blend"
SHARDS = (1, 2, 4, 8, 16)
POSITIVE = (5.0, 3.0)
#: Ratings that are made at a time: what they take meanwhile is not the shard's.
PART = 50_000
#: Users, items and ratings of the logs from which the memory is told.
SHAPES = (
    Shape(10_000, 10_000, 500_000),
    Shape(100_000, 10_000, 800_000, typical=5.0, least=2),
    Shape(10_000, 150_000, 800_000, shift=500.0, cutoff=150_000.0),
    Shape(20_000, 10_000, 1_500_000),
    Shape(50_000, 50_000, 1_000_000, typical=10.0, least=5, shift=500.0, cutoff=50_000.0),
)


def recall(data: movielens.RatingArrays, shards: int, positive: float) -> float:
    """recall@10 over all targets, of as many shards, each with the users of its partition."""
    columns = data.users, data.items, data.ratings, data.timestamps
    homes = np.array([partition_of(str(user), shards) for user in data.users])
    ranks: list[NDArray[np.int32]] = []
    for shard in range(shards):
        mine = homes == shard
        users, items, ratings, times = (each[mine] for each in columns)
        stream = Stream.of(users, items, ratings, times, positive)
        ranks.append(Replay(stream, [MODEL]).run()[0].array())
    return rank_metrics.recall(np.concatenate(ranks))


def resident() -> int:
    """The bytes that this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def learned(shape: Shape) -> tuple[int, int, int, int]:
    """Users, items and ratings that a shard knows after a log of this shape, and the memory that it took."""
    learning, log = Learning(MODEL), Log(shape, part=PART)
    before = resident()
    for chunk in log:
        records = fetched(chunk, learning.offset)
        while part := list(islice(records, 20_000)):
            learning.take(part)
    shard = learning.shard
    return len(shard.users), len(shard.items), learning.offset, resident() - before


@click.command()
@click.option("--memory", is_flag=True, help="Measure the memory instead of the quality.")
@click.option("--shape", type=int, hidden=True, help="Learn one shape, and print what it took.")
def main(memory: bool, shape: int | None) -> None:
    """Measure what K shards cost, or what one takes."""
    warmup.warm((MODEL,))
    if shape is not None:
        print(*learned(SHAPES[shape]))
    elif memory:
        tell_memory()
    else:
        data = movielens.load_arrays(movielens.locate(movielens.ML_100K))
        print(f"| targets | {' | '.join(map(str, SHARDS))} |\n|---|{'---|' * len(SHARDS)}")
        for positive in POSITIVE:
            found = [f"{recall(data, shards, positive):.4f}" for shards in SHARDS]
            print(f"| ratings of at least {positive:g} | {' | '.join(found)} |", flush=True)


def tell_memory() -> None:
    """Each log in a process of its own; then the bytes that fit all of them best."""
    found = []
    print("| users | items | ratings | MiB |\n|---|---|---|---|")
    for number in range(len(SHAPES)):
        command = [sys.executable, "-m", "benchmarks.splitting", "--shape", str(number)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found.append([int(each) for each in told.split()])
        *known, taken = found[-1]
        print(f"| {' | '.join(f'{each:,}' for each in known)} | {taken / 2**20:.0f} |", flush=True)
    table = np.array(found, np.float64)
    columns = np.column_stack([table[:, :3], np.ones(len(table))])
    (user, item, rating, rest), *_ = np.linalg.lstsq(columns, table[:, 3], rcond=None)
    print(f"\n{user:.0f} bytes a user, {item:.0f} an item, {rating:.0f} a rating, and {rest / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
