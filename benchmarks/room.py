"""The memory to which bounds keep a shard: ``python -m benchmarks.room`` fits the bytes of a user and so on.

Each line is a process that learns a stream of ever new users and items, several times as long as its bounds,
so that all is there that leaving leaves behind. Then it is saved, as a worker saves: what that takes at
its peak is in the second figure, and it is this one that a worker needs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.splitting import resident
from recommender.history.rows import Rows, spanned
from recommender.shard import warmup
from recommender.shard.bounds import Bounds
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot

#: Users, items and ratings that are kept.
SHAPES = (
    (10_000, 5_000, 500_000),
    (100_000, 5_000, 500_000),
    (20_000, 5_000, 2_000_000),
    (20_000, 100_000, 500_000),
)
CHUNK, TIMES = 2000, 2.5


def stream(users: int, items: int, ratings: int) -> Iterator[Rows]:
    """Ratings by users who come and go, of items that come and go, the newer ones more often."""
    draw = np.random.default_rng(1)
    each = ratings // users
    for first in range(0, int(TIMES * ratings), CHUNK):
        at = first + np.arange(CHUNK)
        who = at // each + draw.integers(0, max(users // 2, 1), CHUNK)
        what = at * items // ratings + items - np.minimum(draw.zipf(1.3, CHUNK), items // 2)
        ids = [
            b"%s%d" % (kind, number)
            for pair in zip(who, what, strict=True)
            for kind, number in zip((b"user-", b"item-"), pair, strict=True)
        ]
        text, spans = spanned(ids)
        times = (1e9 + at).astype(np.float64)
        yield Rows(text, spans, draw.choice([3.0, 4.0, 5.0], CHUNK), times, np.ones(CHUNK, np.bool_))


def learned(users: int, items: int, ratings: int) -> tuple[int, ...]:
    """The content of a shard in the end, and the bytes that it takes at rest and while it is saved."""
    shard = Shard(ShardOptions("blend", bounds=Bounds(users=users, items=items, in_all=ratings)))
    before = resident()
    for rows in stream(users, items, ratings):
        shard.learn_rows(rows)
    rest = resident() - before
    snapshot = Snapshot(shard)
    while snapshot.advance():
        pass
    snapshot.finish()
    state = snapshot.state()
    status = Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024 - before
    del state
    return len(shard.users), len(shard.items), shard.history.rating_count, rest, peak


def main() -> None:
    """Measure each shape in a process of its own, and fit."""
    if len(sys.argv) > 1:
        print(*learned(*map(int, sys.argv[1:])))
        return
    warmup.warm(("blend",))
    found = []
    print("| users | items | ratings | MiB | MiB while it is saved |\n|---|---|---|---|---|")
    for shape in SHAPES:
        command = [sys.executable, "-m", "benchmarks.room", *map(str, shape)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found.append([int(each) for each in told.split()])
        *known, rest, peak = found[-1]
        sizes = [f"{each:,}" for each in known] + [f"{each / 2**20:.0f}" for each in (rest, peak)]
        print(f"| {' | '.join(sizes)} |", flush=True)
    table = np.array(found, np.float64)
    for name, column in (("at rest", 3), ("while it is saved", 4)):
        columns = np.column_stack([table[:, :3], np.ones(len(table))])
        user, item, rating, rest = np.linalg.lstsq(columns, table[:, column], rcond=None)[0]
        print(
            f"{name}: {user:.0f} bytes a user, {item:.0f} an item, {rating:.0f} a rating, "
            f"and {rest / 2**20:.0f} MiB"
        )


if __name__ == "__main__":
    main()
