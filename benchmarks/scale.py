"""A log of MovieLens 20M's shape: does a rating cost the same at the end, and what does it all weigh?

138,493 users, 26,744 items, 20 million ratings; a generated log, see `benchmarks.data`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_20M
from recommender.settings import Settings

DEFAULT = Settings().model
OURS = f"ours, {DEFAULT}"
OTHERS = ("popular", "mf")
#: Learning is cut off after so many seconds; the goal is 120.
PATIENCE = 900.0
METRICS = [
    Metric("cost of a rating", "us", "lower"),
    Metric("cost in the 2nd million", "us", "lower"),
    Metric("cost in the last million", "us", "lower"),
    Metric("peak memory", "MiB", "lower"),
    Metric("request, p50", "ms", "lower"),
    Metric("request, p99", "ms", "lower"),
    Metric("longest pause while saving", "ms", "lower"),
    Metric("saving", "s", "lower"),
]


def run(options: Options) -> list[Outcome]:
    """One pass for each model: a pass is long enough to be its own average."""
    ratings = options.size(ML_20M.ratings, 200_000)
    outcome = Outcome("scale", f"{ratings:,} ratings of MovieLens 20M's shape", OURS, METRICS)
    models = [DEFAULT, *(each for each in OTHERS if each != DEFAULT)]
    once = Options(options.quick, 1, options.cache, options.tell)
    compete(outcome, [(f"ours, {each}", _pass(each, ratings, outcome)) for each in models], once)
    _judge(outcome)
    return [outcome]


def _pass(model: str, ratings: int, outcome: Outcome) -> Turn:
    def turn() -> Values:
        found = _measure(model, ratings)
        costs = found["costs"]
        outcome.notes.append(
            f"{model}: {found['ratings']:,} ratings, {found['items']:,} items, {found['users']:,} users in "
            f"{found['seconds']:.0f} s, {found['cpu_seconds']:.0f} s of CPU; us for each by millions: "
            + " ".join(f"{each:.2f}" for each in costs)
        )
        outcome.notes.append(
            f"{model}: {found['memory_before']:.0f} MiB before the first rating, the history's arrays "
            f"{found['arrays']:.0f} MiB, a checkpoint {found['checkpoint']:.0f} MiB; slowest request "
            f"{found['request_max']:.1f} ms; CPU ms of a request: p50 {found['request_cpu_p50']:.2f}, "
            f"p99 {found['request_cpu_p99']:.2f}"
        )
        values = {
            "cost of a rating": found["seconds"] / found["ratings"] * 1e6,
            "peak memory": found["memory"],
            "request, p50": found["request_p50"],
            "request, p99": found["request_p99"],
            "longest pause while saving": found["pause"],
            "saving": found["save_seconds"],
        }
        if len(costs) > 1:
            values |= {"cost in the 2nd million": costs[1], "cost in the last million": costs[-1]}
        return values

    return turn


def _measure(model: str, ratings: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale_run", model, str(ratings), str(PATIENCE)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each or "." for each in sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * PATIENCE, env=environment)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _judge(outcome: Outcome) -> None:
    def median(metric: str) -> float:
        return outcome.median(OURS, metric)

    rise = median("cost in the last million") / median("cost in the 2nd million")
    seconds = median("cost of a rating") * ML_20M.ratings / 1e6
    outcome.goals = [
        Goal("time for all of it", seconds, 120, "s", "lower"),
        Goal("peak memory", median("peak memory"), 2048, "MiB", "lower"),
        Goal("cost in the last million, times the 2nd", rise, 1.5, "x", "lower"),
        Goal("request with heavy users, p99", median("request, p99"), 3.0, "ms", "lower"),
        Goal("longest pause while saving", median("longest pause while saving"), 20.0, "ms", "lower"),
    ]
