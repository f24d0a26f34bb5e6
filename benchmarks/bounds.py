"""The cost of bounds in live recall@10, on MovieLens 100K in order of time.

``python -m benchmarks.bounds`` prints a line for each bound. Which positive ratings are tests is drawn by the
numbers of events, and withdrawals of those who leave are events: so samples differ between bounds.
"""

from __future__ import annotations

import math

from recommender.evaluation.datasets import formats, movielens
from recommender.shard.bounds import DAY, Bounds
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

BOUNDS = (
    Bounds(),
    Bounds(users=700),
    Bounds(users=470),
    Bounds(users=235),
    Bounds(ratings=100),
    Bounds(ratings=50),
    Bounds(items=1200),
    Bounds(items=800),
    Bounds(items=400),
    Bounds(item_ttl=30 * DAY),
    Bounds(in_all=50_000),
    Bounds(in_all=25_000),
)
#: One in so many positive ratings is a test.
EVERY = 4
WINDOW = 100_000


def main() -> None:
    """Measure it."""
    log = sorted(formats.read(movielens.locate("ml-100k", print)), key=lambda each: each.timestamp or 0.0)
    for bounds in BOUNDS:
        feedback = Feedback.parse("graded:5")
        shard = Shard(ShardOptions("blend", feedback, test_every=EVERY, test_window=WINDOW, bounds=bounds))
        shard.learn(log)
        recall, popular = shard.live.recalls()
        error = math.sqrt(recall * (1 - recall) / shard.live.tests)
        print(
            f"{bounds}: {len(shard.users)} users, {len(shard.items)} items, "
            f"{shard.history.rating_count} ratings, {shard.live.tests} tests, recall {recall:.3f} "
            f"(+- {error:.3f}), popularity {popular:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
