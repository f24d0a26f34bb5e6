"""Learning at a bound that is reached, beside learning without one: speed, and the longest call.

``python -m benchmarks.leaving`` lets two shards learn the same stream of ever new users and items in turns, a
chunk each, and prints a line for each bound. What is measured is the second half of the stream, in which the
bound is reached. Times are of the processor.
"""

from __future__ import annotations

import argparse
import gc
import time

import numpy as np

from benchmarks.endless import stream
from recommender.shard import warmup
from recommender.shard.bounds import DAY, Bounds
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

#: Ratings in a call: as a worker learns a backlog, and where few come at a time.
MANY, FEW = 1000, 100
BOUNDS = {
    "30,000 users": Bounds(users=30_000),
    "6,000 items": Bounds(items=6_000),
    "300,000 ratings": Bounds(in_all=300_000),
    "20 ratings of a user": Bounds(ratings=20),
    "8 hours of a user": Bounds(user_ttl=DAY / 3),
    "7 hours of an item": Bounds(item_ttl=0.3 * DAY),
    "30,000 users, 6,000 items and 300,000 ratings": Bounds(30_000, 10_000, 0.0, 6_000, 0.0, 300_000),
}


def measure(model: str, bounds: Bounds, events: int, chunk: int) -> tuple[list[float], list[float], int]:
    """The seconds for all and the longest of a call, without and with bounds, and how many left."""
    shards = [Shard(ShardOptions(model, bounds=each, test_every=100)) for each in (Bounds(), bounds)]
    took: list[list[float]] = [[], []]
    for number, rows in enumerate(stream(events, chunk=chunk)):
        if number == events // chunk // 2:
            took = [[], []]
            shards[1].bounds.take_left()
        for place in (0, 1) if number % 2 else (1, 0):
            started = time.thread_time()
            shards[place].learn_rows(rows)
            took[place].append(time.thread_time() - started)
    left = sum(shards[1].bounds.take_left().values())
    return [sum(each) for each in took], [max(each) for each in took], left


def main() -> None:
    """Measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--model", default="blend")
    parser.add_argument("--bounds", choices=BOUNDS, action="append", help="by default all")
    given = parser.parse_args()
    warmup.warm((given.model.split("/")[0],))
    gc.collect()
    gc.freeze()  # as a worker does
    print("| bound | speed | microseconds a rating | longest call of 100, ms | left |\n|---|---|---|---|---|")
    for name in given.bounds or BOUNDS:
        (plain, bounded), _, left = measure(given.model, BOUNDS[name], given.events, MANY)
        _, longest, _ = measure(given.model, BOUNDS[name], given.events, FEW)
        each = bounded / (given.events / 2) * 1e6
        shown = " beside ".join(f"{1e3 * seconds:.0f}" for seconds in np.array(longest)[::-1])
        print(f"| {name} | {plain / bounded:.2f} | {each:.1f} | {shown} | {left:,} |", flush=True)


if __name__ == "__main__":
    main()
