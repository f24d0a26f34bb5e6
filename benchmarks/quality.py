"""The peers table: what others use and our models on one stream, quality beside cost per event.

Run it with `make evaluate`, or `python -m benchmarks.quality [SOURCE]`. It prints Markdown.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import click
import numpy as np

from benchmarks.quality_peers import EASE, IALS, REFIT, Peer, River
from recommender.evaluation.datasets import movielens
from recommender.evaluation.prequential import Evaluation, Replay
from recommender.evaluation.streams import Protocol, Stream, shuffled_ties
from recommender.models.base import ModelContext
from recommender.shard import warmup

#: FluRS' rule by options of ours, to the digit.
FLURS_RULE = "mf/rate=constant/negatives=0/rank=distance/learn_rate=0.003"
OURS = ["popular", "popular-recent", "mf", FLURS_RULE, "bpr", "user-knn", "cooc", "cosine", "item-knn",
        "sequence-knn", "blend"]  # fmt: skip
FLURS = ["flurs:mf", "flurs:bprmf", "flurs:fm", "flurs:sketch"]
PEERS: dict[str, Callable[[ModelContext, int, int], Peer]] = {
    f"EASE, refitted every {REFIT}": EASE,
    f"iALS, refitted every {REFIT}": IALS,
    "river FunkMF": functools.partial(River, name="FunkMF"),
    "river BiasedMF": functools.partial(River, name="BiasedMF"),
    "river Baseline": functools.partial(River, name="Baseline"),
}
SHOWN = ("recall@10", "mrr", "item_coverage", "long_tail_share", "recall@10_first_ratings",
         "recall@10_young_items", "learn_us", "score_us")  # fmt: skip


def measure(stream: Stream, name: str) -> Evaluation:
    """Replay the stream to one peer or model."""
    if name not in PEERS:
        warmup.warm((name,))
        return Replay(stream, [name]).run()[0]
    users, items = int(stream.users.max()) + 1, int(stream.items.max()) + 1

    def make(peer: str, context: ModelContext) -> Peer:
        return PEERS[peer](context, users, items)

    return Replay(stream, [name], make=make).run()[0]


def rows(stream: Stream, names: list[str], title: str) -> list[dict[str, Any]]:
    """Print a table, row by row as it is measured."""
    print(f"\n{title}\n")
    print(
        "| model | recall@10 | MRR | coverage | long tail | first 5 | items < 100 | learn, us | score, us |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    found = []
    for name in names:
        started = monotonic()
        summary = measure(stream, name).summary()
        cells = [f"{summary[key]:.1f}" if key.endswith("_us") else f"{summary[key]:.3f}" for key in SHOWN]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
        print(f"{name}: {monotonic() - started:.0f} s", file=sys.stderr)
        found.append(summary)
    return found


@click.command()
@click.argument("source", default=movielens.ML_100K)
@click.option("--positive", default=5.0, show_default=True, help="Ratings of at least this are positive.")
@click.option("--json", "json_file", metavar="FILE", help="Also write all metrics as JSON.")
@click.option("--only", help="Models or peers to measure, separated by semicolons.")
def main(source: str, positive: float, json_file: str | None, only: str | None) -> None:
    """Measure everybody on SOURCE, by default MovieLens 100K."""
    data = movielens.load_arrays(movielens.locate(source, say=lambda text: print(text, file=sys.stderr)))

    def stream(protocol: Protocol, threshold: float, order: Any = slice(None)) -> Stream:
        columns = (data.users[order], data.items[order], data.ratings[order], data.timestamps[order])
        return Stream.of(*columns, threshold, protocol)

    chosen = only.split(";") if only else None
    report: dict[str, Any] = {"source": source}

    def table(key: str, made: Stream, names: list[str], title: str) -> None:
        kept = [name for name in names if chosen is None or name in chosen]
        if kept:
            report[key] = rows(made, kept, title)

    table("flurs", stream("flurs", positive), ["random", "popular", *FLURS],
          f"Protocol flurs: ratings >= {positive:g} alone are learned")  # fmt: skip
    table("graded", stream("graded", positive), [*PEERS, *OURS],
          f"Protocol graded: every rating is learned, those >= {positive:g} are targets")  # fmt: skip
    for threshold in (4.0, 3.0):
        table(f"graded {threshold:g}", stream("graded", threshold), ["popular", "sequence-knn", "blend"],
              f"The same, >= {threshold:g}")  # fmt: skip
    shuffled = stream("graded", positive, shuffled_ties(np.nan_to_num(data.timestamps), 1))
    table("shuffled", shuffled, ["sequence-knn", "blend"],
          f"The same, >= {positive:g}, with the order inside equal timestamps drawn at random")  # fmt: skip
    if json_file is not None:
        Path(json_file).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
