"""Hand-written kernels beside libraries that could replace them: ``python -m benchmarks.handwritten``.

`docs/handwritten.md` says why each stays. What is measured is the processor time of the thread, of the median
round, each contestant in turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import orjson
import scipy.linalg

from benchmarks.serialization import Fetched, Wire
from recommender.client.ratings import encode_rating
from recommender.history.catalog import Catalog, register_bytes
from recommender.history.rows import Rows
from recommender.ingest import rating_json
from recommender.ingest.ingest import BatchDecoder
from recommender.models import elementary
from recommender.models.blend.ranking import solve
from recommender.models.blend.weights import PRIOR

ROUNDS, RATINGS, BATCH, NUMBERS = 7, 100_000, 1000, 100_000
Row = tuple[str, str, float, int]
Work = Callable[[], object]
EXPONENTIALS = (
    "import hashlib, numpy as np;"
    "x = np.random.default_rng(1).uniform(-30.0, 0.0, 100_000);"
    "print(hashlib.sha256(np.exp(x).tobytes() + np.log(-x).tobytes()).hexdigest())"
)


def rows_of(count: int) -> list[Row]:
    """Ratings by 2,000 users of 3,000 items, a few of which are popular."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 2000, count).tolist()
    items = np.minimum(rng.zipf(1.3, count), 3000).tolist()
    values = rng.integers(1, 6, count).tolist()
    return [
        (f"user-{u}", f"item-{i}", float(v), 1_700_000_000 + n)
        for n, (u, i, v) in enumerate(zip(users, items, values, strict=True))
    ]


def decoding(rows: list[Row]) -> dict[str, Work]:
    """JSON to arrays of ids, ratings and times."""
    records = [Fetched(encode_rating(*row)) for row in rows]
    decoder, typed = BatchDecoder(0.5, 5.0), msgspec.json.Decoder(Wire).decode

    def with_msgspec() -> None:
        for begin in range(0, len(records), BATCH):
            found = [typed(each.value) for each in records[begin : begin + BATCH]]
            np.array([each.rating for each in found])
            np.array([each.timestamp for each in found])

    def with_orjson() -> None:
        for begin in range(0, len(records), BATCH):
            found = [orjson.loads(each.value) for each in records[begin : begin + BATCH]]
            np.array([each["rating"] for each in found])
            np.array([each["timestamp"] for each in found])

    def ours() -> None:
        for begin in range(0, len(records), BATCH):
            decoder.read(records[begin : begin + BATCH])

    return {"ours": ours, "msgspec, typed": with_msgspec, "orjson": with_orjson}


def numbering(rows: list[Row]) -> dict[str, Work]:
    """Ids to indices."""
    records = [Fetched(encode_rating(*row)) for row in rows]
    decoder = BatchDecoder(0.5, 5.0)
    batches: list[Rows] = [decoder.read(records[n : n + BATCH]) for n in range(0, len(records), BATCH)]

    def ours() -> None:
        users, items = Catalog(), Catalog()
        for each in batches:
            values, used = each.ratings.astype(np.float32), each.plain.copy()
            register_bytes(users, items, each.text, each.spans, values, used)

    def with_dictionaries() -> None:
        users: dict[str, int] = {}
        items: dict[str, int] = {}
        for begin in range(0, len(rows), BATCH):
            part = rows[begin : begin + BATCH]
            np.array([users.setdefault(row[0], len(users)) for row in part], np.int32)
            np.array([items.setdefault(row[1], len(items)) for row in part], np.int32)

    return {"ours": ours, "dictionaries, strings already made": with_dictionaries}


def functions() -> dict[str, Work]:
    """Exponentials of many numbers."""
    numbers = np.random.default_rng(1).uniform(-30.0, 0.0, NUMBERS)
    return {"ours": lambda: elementary.exponentials(numbers), "numpy": lambda: np.exp(numbers)}


def solving() -> dict[str, Work]:
    """A step of the blend: as many equations as it has weights."""
    rng, size = np.random.default_rng(2), 3 * len(PRIOR)
    root = rng.normal(size=(size, size))
    matrix, vector = root @ root.T + np.eye(size), rng.normal(size=size)

    def repeated(step: Callable[[], Any]) -> Work:
        return lambda: [step() for _ in range(1000)]

    return {
        "ours": repeated(lambda: solve(matrix.copy(), vector.copy())),
        "numpy.linalg.solve": repeated(lambda: np.linalg.solve(matrix, vector)),
        "scipy.linalg.solve, positive definite": repeated(
            lambda: scipy.linalg.solve(matrix, vector, assume_a="pos", check_finite=False)
        ),
    }


def measured(contestants: dict[str, Work]) -> dict[str, float]:
    """Processor seconds of each contestant, of its median round."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(ROUNDS + 1):
        for name, work in contestants.items():
            begin = time.thread_time()
            work()
            if turn:  # the first round compiles
                taken[name].append(time.thread_time() - begin)
    return {name: statistics.median(each) for name, each in taken.items()}


def numpy_differs() -> bool:
    """Return True if numpy's exp and log give other bits where it uses less of this processor."""
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    printed = [
        subprocess.run(
            [sys.executable, "-c", EXPONENTIALS],
            env=os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(disabled)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ([], features)
    ]
    return printed[0] != printed[1]


def main() -> None:
    """Print a table."""
    rating_json.warm()
    rows = rows_of(RATINGS)
    print("| work | how | ns | beside ours |\n|---|---|---|---|")
    for what, contestants, count in (
        ("a rating's JSON to arrays", decoding(rows), RATINGS),
        ("the two ids of a rating to indices", numbering(rows), RATINGS),
        ("an exponential", functions(), NUMBERS),
        ("36 equations", solving(), 1000),
    ):
        found = measured(contestants)
        for name, seconds in found.items():
            print(f"| {what} | {name} | {1e9 * seconds / count:,.1f} | {seconds / found['ours']:.2f} |")
    print(f"\nnumpy's exp and log have other bits on a lesser processor: {numpy_differs()}")


if __name__ == "__main__":
    main()
