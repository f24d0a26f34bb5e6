"""Top-3 accuracy of our models beside Surprise's: ``python -m benchmarks.top3 [SOURCE]``.

The splits, and what is counted, are those of ``recommender evaluate --protocol top3``.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.contest import Options
from benchmarks.environments import ask, python_of
from recommender.evaluation import top3
from recommender.evaluation.datasets import movielens
from recommender.evaluation.top3 import ALL, RANDOM, Estimator, Result, Signed
from recommender.models.base import FloatArray, IntArray
from recommender.shard import warmup

OURS = (
    "knn-baseline",
    "knn-baseline/user_based=true",
    "knn-baseline/similarity=cosine",
    "knn-baseline/similarity=pearson",
    "knn-baseline/similarity=pearson_baseline",
    "cooc",
    "popular",
)


@click.command()
@click.argument("source", default="ml-100k")
@click.option("--positive", type=float, default=4.0, show_default=True, help="Ratings from here on are +1.")
@click.option("--negative", type=float, default=2.0, show_default=True, help="Ratings up to here are -1.")
@click.option("--test", type=float, default=0.2, show_default=True, help="The share that is tested.")
@click.option("--splits", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first split.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the figures as JSON.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path.home() / ".cache" / "faust-recommender" / "peers",
    help="Where the environments of peers are kept.",
)
def main(
    source: str,
    positive: float,
    negative: float,
    test: float,
    splits: int,
    seed: int,
    json_file: Path | None,
    cache: Path,
) -> None:
    """Split the ratings of SOURCE at random and let all learn and estimate the same parts."""
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")
    console, progress = Console(width=None if os.isatty(1) else 100), Console(stderr=True)
    options = Options(False, splits, cache, lambda text: progress.print(f"[dim]{text}"))
    data = movielens.load_arrays(movielens.locate(source, say=options.tell))
    ratings = Signed.of(data.users, data.items, data.ratings, data.timestamps, positive, negative)
    warmup.warm(tuple(dict.fromkeys(name.split("/")[0] for name in OURS)))
    results: dict[str, Result] = {}
    for number in range(seed, seed + splits):
        options.tell(f"split {number - seed + 1} of {splits}")
        tested = top3.split(len(ratings), test, number)
        for name, value in _measured(ratings.part(~tested), ratings.part(tested), number, options).items():
            results.setdefault(name, Result(name)).accuracies.append(value)
    about = {"source": source, "ratings": len(ratings), "positive": positive, "negative": negative,
             "test": test, "splits": splits, "seed": seed}  # fmt: skip
    report = about | {"models": [each.summary() for each in results.values()]}
    _show(report, console)
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n")


def _measured(train: Signed, test: Signed, seed: int, options: Options) -> dict[str, float]:
    values = top3.floors(test, seed)
    for name, estimate in _surprise(train, test, seed, options).items():
        values[f"Surprise {name}"] = top3.accuracy(test, estimate)
    for name in OURS:
        values[f"ours, {name}"] = top3.accuracy(test, top3.learned(name, train))
    return values


def _surprise(train: Signed, test: Signed, seed: int, options: Options) -> dict[str, Estimator]:
    """The estimates of Surprise's algorithms, which a program of its own has written."""
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory) / name for name in ("train.csv", "test.csv", "out.npz")]
        for path, part in zip(files, (train, test), strict=False):
            rows = zip(part.users.tolist(), part.items.tolist(), part.ratings.tolist(), strict=True)
            path.write_text("".join(f"{user},{item},{rating:g}\n" for user, item, rating in rows))
        ask("surprise_top3", *files, seed, python=python_of("surprise", options), seconds=1800)
        with np.load(files[2]) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    names = dict.fromkeys(name.rpartition("/")[0] for name in found)
    return {name: _looked_up(test, found[f"{name}/estimates"], found[f"{name}/neighbours"]) for name in names}


def _looked_up(test: Signed, estimates: FloatArray, neighbours: IntArray) -> Estimator:
    place = {pair: row for row, pair in enumerate(zip(test.users.tolist(), test.items.tolist(), strict=True))}

    def estimate(user: int, items: IntArray) -> tuple[FloatArray, IntArray]:
        rows = [place[user, item] for item in items.tolist()]
        return estimates[rows], neighbours[rows]

    return estimate


def _show(report: dict[str, object], console: Console) -> None:
    caption = (
        f"{report['ratings']} ratings of {report['source']}, {report['test']:.0%} tested, "
        f"{report['splits']} splits from seed {report['seed']}"
    )
    table = Table("", "top-3 accuracy", "+-", caption=caption)
    rows = report["models"]
    assert isinstance(rows, list)
    for row in rows:
        cells = (row["top3_accuracy"], row["deviation"])
        shown = ("-" if cell is None else f"{cell:.1%}" for cell in cells)
        name = f"[dim]{row['model']}" if row["model"] in (RANDOM, ALL) else row["model"]
        table.add_row(name, *shown)
    console.print(table)


if __name__ == "__main__":
    main()
