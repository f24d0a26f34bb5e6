"""A stream without end in one process: memory, speed, answers and recall over the events, with bounds.

Users are ever new, with ten to fifty events each and a few for years; items are ever new, and what is popular
drifts. Events go to a shard as the journal hands them over; making them is not counted. Times are of the
processor, since other programs may run.

``python -m benchmarks.endless --events 20000000`` prints a line for each part of the stream, and how the last
tenth of it compares with the second. It writes ``build/endless.csv``, and as curves ``build/endless.svg``.
Bounds are the defaults unless they are given; 0 is none.
"""

from __future__ import annotations

import argparse
import csv
import gc
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import curves
from recommender import settings
from recommender.history.rows import Rows
from recommender.messages.requests import Request
from recommender.shard import warmup
from recommender.shard.bounds import DAY, Bounds
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

#: Events in one call, as a fetch of the journal has them.
CHUNK = 1000
#: Events between two events of a user, about; and how many users are there at a time.
EVENTS_OF_A_USER, USERS_AT_A_TIME = 30, 20_000
#: A new item comes with every so many events.
EVENTS_OF_AN_ITEM = 200
REQUESTS = 1000
#: Parts from which tenths can be compared.
FEWEST_PARTS = 10
FIELDS = (
    "events", "resident_mb", "us_per_event", "longest_ms", "p50_ms", "p99_ms", "recall", "recall_of_all",
    "tests", "users", "items", "ratings",
)  # fmt: skip
#: Tests that are remembered.
WINDOW = 1_000_000
#: Bytes of an id: a letter and a number.
WIDTH = 10
PLOTTED = {
    "resident_mb": "memory, MiB",
    "us_per_event": "learning, microseconds an event",
    "p99_ms": "an answer, ms (99 %)",
    "recall": "recall@10",
}


_TENS = 10 ** np.arange(WIDTH - 2, -1, -1)


def stream(events: int, seed: int = 1, chunk: int = CHUNK) -> Iterator[Rows]:
    """The events in chunks."""
    spans = 2 * WIDTH * np.arange(chunk)[:, None] + np.array([0, WIDTH, WIDTH, 2 * WIDTH])
    draw = np.random.default_rng(seed)
    for first in range(0, events, chunk):
        at = first + np.arange(chunk)
        users = at // EVENTS_OF_A_USER + draw.integers(0, USERS_AT_A_TIME, chunk)
        # One in fifty is somebody who stays for years.
        stay = draw.random(chunk) < 0.02
        users = np.where(stay, draw.integers(1, 5000, chunk), users)
        # What a user likes lies near, newer items first.
        taste = (users * 7919) % 50
        items = at // EVENTS_OF_AN_ITEM + 5000 - taste - 50 * np.minimum(draw.zipf(1.4, chunk), 90)
        text = np.empty((chunk, 2, WIDTH), np.uint8)
        text[:, 0, 0], text[:, 1, 0] = np.where(stay, ord("s"), ord("u")), ord("i")
        digits = np.stack([users, items], axis=1)[:, :, None] // _TENS % 10
        text[:, :, 1:] = digits + ord("0")
        text.flags.writeable = False
        ratings = draw.choice([3.0, 4.0, 5.0], chunk)
        times = (1e9 + 0.1 * at).astype(np.float64)
        yield Rows(text.reshape(-1), spans, ratings, times, np.ones(chunk, np.bool_))


def measure(shard: Shard, events: int, part: int) -> Iterator[dict[str, float]]:
    """Learn the stream; a row of figures for each part."""
    busy, longest, learned, tested, hit = 0.0, 0.0, 0, 0, 0
    for rows in stream(events):
        started = time.thread_time()
        shard.learn_rows(rows)
        took = time.thread_time() - started
        busy, longest, learned = busy + took, max(longest, took), learned + CHUNK
        if learned % part == 0:
            answers, tests, recall = _ask(shard, rows), shard.live.tests, shard.live.recalls()[0]
            hits = round(recall * min(tests, WINDOW))
            yield {
                "events": learned,
                "resident_mb": _resident(),
                "us_per_event": busy / part * 1e6,
                "longest_ms": longest * 1e3,
                "p50_ms": float(np.percentile(answers, 50)),
                "p99_ms": float(np.percentile(answers, 99)),
                "recall": (hits - hit) / max(1, tests - tested),
                "recall_of_all": recall,
                "tests": tests,
                "users": len(shard.users),
                "items": len(shard.items),
                "ratings": shard.history.rating_count,
            }
            busy = longest = 0.0
            tested, hit = tests, hits


def _ask(shard: Shard, rows: Rows) -> NDArray[np.float64]:
    took = []
    for user in rows.ids(0)[:REQUESTS]:
        started = time.thread_time()
        shard.recommend(Request(user))
        took.append((time.thread_time() - started) * 1e3)
    return np.array(took)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def compared(found: Sequence[dict[str, float]]) -> str:
    """The last tenth of a stream beside the second: memory and speed, and the p99 of answers."""
    tenth = len(found) // 10
    early, late = found[tenth : 2 * tenth], found[-tenth:]

    def ratio(name: str) -> float:
        return float(np.mean([row[name] for row in late]) / np.mean([row[name] for row in early]))

    return (
        f"the last tenth beside the second: memory {ratio('resident_mb'):.3f}, speed "
        f"{1 / ratio('us_per_event'):.3f}, p99 of answers {ratio('p99_ms'):.3f}; the longest call from the "
        f"second on {max(row['longest_ms'] for row in found[tenth:]):.1f} ms"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--part", type=int, default=250_000)
    usual = settings.load({})
    parser.add_argument("--users", type=int, default=usual.max_users, help="RECOMMENDER_MAX_USERS")
    parser.add_argument("--items", type=int, default=usual.max_items, help="RECOMMENDER_MAX_ITEMS")
    parser.add_argument("--in-all", type=int, default=usual.max_ratings, help="RECOMMENDER_MAX_RATINGS")
    most = usual.max_ratings_per_user
    parser.add_argument("--ratings", type=int, default=most, help="RECOMMENDER_MAX_RATINGS_PER_USER")
    parser.add_argument("--ttl", type=float, default=0.0, help="RECOMMENDER_USER_TTL, in days")
    parser.add_argument("--item-ttl", type=float, default=0.0, help="RECOMMENDER_ITEM_TTL, in days")
    parser.add_argument("--model", default="blend")
    parser.add_argument("--test-every", type=int, default=usual.test_every, help="RECOMMENDER_TEST_EVERY")
    parser.add_argument("--to", type=Path, default=Path("build/endless"))
    given = parser.parse_args()
    warmup.warm((given.model.split("/")[0],))
    gc.collect()
    gc.freeze()  # as a worker does
    ttls = given.ttl * DAY, given.item_ttl * DAY
    bounds = Bounds(given.users, given.ratings, ttls[0], given.items, ttls[1], given.in_all)
    shard = Shard(ShardOptions(given.model, bounds=bounds, test_every=given.test_every, test_window=WINDOW))
    found = []
    print("\t".join(FIELDS))
    for row in measure(shard, given.events, given.part):
        found.append(row)
        print(
            "\t".join(f"{row[name]:.4g}" if name != "events" else f"{row[name]:,}" for name in FIELDS),
            flush=True,
        )
    if len(found) >= FEWEST_PARTS:
        print(compared(found))
    given.to.parent.mkdir(parents=True, exist_ok=True)
    with given.to.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(found)
    given.to.with_suffix(".svg").write_text(curves.svg("events", found, PLOTTED))


if __name__ == "__main__":
    main()
