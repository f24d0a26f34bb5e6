"""Run the benchmarks: ``python -m benchmarks.run [--quick] [NAME ...]``, or ``make bench``."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click
from rich.console import Console

from benchmarks import report
from benchmarks.contest import Options, Outcome

NAMES = (
    *("serialization", "decoding", "learn", "recommend", "filters", "adapt", "reply", "scale"),
    *("fresh", "answers", "over_http", "failover", "join", "ready", "rebuild", "partitions", "sources"),
    *("watched",),
)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES), metavar="[NAME ...]")
@click.option("--quick", is_flag=True, help="Small sizes and one round: does everything run?")
@click.option("--rounds", type=click.IntRange(1, 99), help="Turns of each contestant  [default: 5, quick: 1]")
@click.option(
    "--results",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("benchmarks/results"),
    show_default=True,
    help="Where bench.json and bench.png go.",
)
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path.home() / ".cache" / "faust-recommender" / "peers",
    help="Where the environments of peers are kept.",
)
def main(names: tuple[str, ...], quick: bool, rounds: int | None, results: Path, cache: Path) -> None:
    """Measure the worker beside its peers, on this machine, in this run.

    NAME is any of serialization, decoding, learn, recommend, filters, adapt, reply, scale, fresh, answers,
    over_http, failover, join, ready, rebuild, partitions, sources, watched; by default all.
    """
    # One core each: with more, the libraries' own threads would compete with the broker and each other.
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    console, progress = Console(width=None if sys.stdout.isatty() else 120), Console(stderr=True)
    about = report.machine() | {"quick": quick}
    console.print(
        f"Python {about['python']}, {about['system']}, {about['cores']} cores, load {about['load']:.1f}\n"
    )
    options = Options(
        quick, rounds or (1 if quick else 5), cache, lambda text: progress.print(f"[dim]{text}")
    )
    outcomes: list[Outcome] = []
    for name in names or NAMES:
        for outcome in importlib.import_module(f"benchmarks.{name}").run(options):
            report.show(outcome, console)
            outcomes.append(outcome)
            json_path, plot = report.save(outcomes, about, results)
    console.print(
        f"Results: {json_path}" + (f", plot: {plot}" if plot else " (no plot: matplotlib is missing)")
    )


if __name__ == "__main__":
    main()
