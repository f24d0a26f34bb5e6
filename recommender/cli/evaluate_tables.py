"""The results of `recommender evaluate`, as tables and as a picture."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from recommender.cli.output import print_table
from recommender.errors import RecommenderError
from recommender.evaluation import plotting, rank_metrics
from recommender.evaluation.prequential import Evaluation

_SHOWN = {
    "recall@10": "recall@10",
    "mrr": "MRR",
    "ndcg@10": "nDCG@10",
    "mean_percentile_rank": "mean pct. rank",
    "item_coverage": "coverage",
    "long_tail_share": "long tail",
    "recall@10_first_ratings": "first 5 ratings",
    "recall@10_young_items": "items < 100",
    "learn_us": "learn, us",
    "score_us": "score, us",
}


def show_explored(rows: list[dict[str, Any]]) -> None:
    """Print what exploring costs and brings."""
    names = ("recall@10", "item_coverage", "long_tail_share", "explored_share")
    caption = "explored: places whose item is not the best that was left."
    table = Table("model", "explore", "recall@10", "coverage", "long tail", "explored", caption=caption)
    for row in rows:
        table.add_row(
            row["model"], row["explore"], *("-" if row[n] is None else _cell(n, row[n]) for n in names)
        )
    print_table(table)


def show_hiding(rows: list[dict[str, Any]]) -> None:
    """Print what it costs and brings not to show again what was shown."""
    names = ("recall@10", "turnover", "hidden_per_list", "item_coverage")
    caption = (
        "turnover: places whose item was not in the user's list before; hidden: items left out of a list."
    )
    table = Table("model", "hide seen", "recall@10", "turnover", "hidden", "coverage", caption=caption)
    for row in rows:
        cells = ("-" if row[n] is None else _cell(n, row[n]) for n in names)
        table.add_row(row["model"], str(row["hide_seen"] or "never"), *cells)
    print_table(table)


def show_top3(report: dict[str, Any]) -> None:
    """Print the top-3 accuracy of each model."""
    caption = (
        f"{report['tested_users']} users with 3 test items or more, over {report['splits']} splits "
        f"(seed {report['seed']}): {report['test']:.0%} of {report['ratings']} ratings tested."
    )
    table = Table("model", "top-3 accuracy", "+-", caption=caption)
    for row in report["models"]:
        cells = (row["top3_accuracy"], row["deviation"])
        table.add_row(row["model"], *("-" if cell is None else f"{cell:.1%}" for cell in cells))
    print_table(table)


def show(results: list[Evaluation], window: int) -> None:
    """Print the metrics of each model, the last one's the measure."""
    table = Table("model", *_SHOWN.values(), "McNemar", caption=_caption(results, window))
    last = results[-1].array()
    for result in results:
        summary = result.summary()
        cells = ["-" if summary[key] is None else _cell(key, summary[key]) for key in _SHOWN]
        worse, better, undecided = rank_metrics.better_windows(result.array(), last, window)
        compared = "" if result is results[-1] else f"{worse}:{better}:{undecided}"
        table.add_row(result.model, *cells, compared)
    print_table(table)


def _caption(results: list[Evaluation], window: int) -> str:
    return (
        f"{len(results[-1].ranks)} targets. McNemar: windows of {window} targets in which the model beats "
        f"{results[-1].model}, is beaten by it, undecided at 5 %."
    )


def _cell(key: str, value: float) -> str:
    return f"{value:.2f}" if key.endswith("_us") else f"{value:.4f}"


def require_matplotlib() -> Any:
    """Return what draws the picture; asked for before an hour of work, not after it.

    Raises
    ------
    PictureError
        matplotlib is not installed.
    """
    return plotting.pyplot("--plot")


def plot(results: list[Evaluation], window: int, name: str) -> None:
    """Draw recall@10 over the stream.

    Raises
    ------
    RecommenderError
        The file cannot be written.
    """
    pyplot = require_matplotlib()
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    for result in results:
        axes.plot(*rank_metrics.windows(result.array(), window), label=result.model)
    axes.set_xlabel("targets tested")
    axes.set_ylabel(f"recall@10, the newest {window} targets")
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend()
    try:
        figure.savefig(name, dpi=120)
    except (OSError, ValueError) as error:
        raise RecommenderError(f"{name} cannot be written: {error}") from None
    pyplot.close(figure)
