"""`recommender evaluate`: how well models do on a data set, rating by rating."""

from __future__ import annotations

import csv
import functools
import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from producers import movielens
from recommender import evaluation, rank_metrics, rating_stream, top_accuracy
from recommender.errors import RecommenderError
from recommender.evaluation import Evaluation
from recommender.rating_stream import Stream
from recommender.top_accuracy import Signed

#: Models that are compared when none are named.
DEFAULT_MODELS = "random,popular,popular-recent,item-knn,sequence-knn,blend"
#: The same where their estimates of signed ratings are compared.
TOP3_MODELS = "popular,cooc,knn-baseline,sequence-knn"
TOP3 = "top3"

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


@click.command()
@click.argument("source")
@click.option(
    "--models", help=f"Models, separated by commas. Default: {DEFAULT_MODELS}; top3: {TOP3_MODELS}."
)
@click.option(
    "--positive", type=float, default=4.0, show_default=True, help="Ratings of at least this are positive."
)
@click.option("--protocol", type=click.Choice((*rating_stream.PROTOCOLS, TOP3)), default="graded",
              show_default=True, help="What is learned and what is a candidate.")  # fmt: skip
@click.option("--json", "json_file", metavar="FILE", help="Write the metrics as JSON; - prints nothing else.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the metrics as a table with a header.")
@click.option("--plot", "plot_file", metavar="FILE", help="Write recall@10 over the stream as a picture.")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first so many ratings.")
@click.option(
    "--shuffle-ties", type=int, metavar="SEED", help="Draw the order inside equal timestamps at random."
)
@click.option("--window", type=click.IntRange(min=1), default=1000, show_default=True,
              help="Tests in a window of the curve and of McNemar's test.")  # fmt: skip
@click.option("--negative", type=float, default=2.0, show_default=True,
              help="top3: ratings of at most this are -1; what is between is left out.")  # fmt: skip
@click.option("--test", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.2,
              show_default=True, help="top3: the share of ratings that is tested.")  # fmt: skip
@click.option("--splits", type=click.IntRange(min=1), default=5, show_default=True,
              help="top3: how many random splits are measured.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the models and of the splits.")
def evaluate(
    source: str,
    models: str | None,
    positive: float,
    protocol: Any,
    json_file: str | None,
    csv_file: str | None,
    plot_file: str | None,
    limit: int | None,
    shuffle_ties: int | None,
    window: int,
    negative: float,
    test: float,
    splits: int,
    seed: int,
) -> None:
    """Test models on SOURCE, each rating before it is learned.

    SOURCE is a rating file, possibly gzipped, a directory with one, or ml-100k. Targets are the last half
    of the positive ratings. The table, progress and notes go to the terminal; McNemar's test compares each
    model with the one named last.

    --protocol top3 measures something else: ratings become +1 and -1, a random part of them is learned, and
    of each user's items in the other part the three with the highest estimates are looked at. The figure is
    the share of them that the user liked, as a mean over users, beside that of three random ones.
    """
    names = _names(models, TOP3_MODELS if protocol == TOP3 else DEFAULT_MODELS)
    if plot_file is not None:
        if protocol == TOP3:
            raise click.UsageError("--plot shows recall over the stream: --protocol top3 has none")
        _pyplot()
    if protocol == TOP3:
        if shuffle_ties is not None:
            raise click.UsageError("--shuffle-ties does not go with --protocol top3: it splits at random")
        signed = _signed(source, positive, negative, limit)
        report = {"source": source, "positive": _whole(positive), "negative": _whole(negative),
                  "protocol": protocol, "ratings": len(signed), "test": test, "splits": splits, "seed": seed,
                  **_top3(signed, names, test, splits, seed)}  # fmt: skip
        _out(report, json_file, csv_file, lambda: _show_top3(report))
        return
    stream = _stream(source, positive, protocol, limit, shuffle_ties)
    results = _evaluated(stream, names, seed)
    report = {"source": source, "positive": _whole(positive), "protocol": protocol, "ratings": len(stream),
              "models": [result.summary() for result in results]}  # fmt: skip
    _out(report, json_file, csv_file, lambda: _show(results, window))
    if plot_file is not None:
        _plot(results, window, plot_file)


def _names(models: str | None, default: str) -> list[str]:
    names = [name.strip() for name in (default if models is None else models).split(",") if name.strip()]
    if not names:
        raise click.UsageError("--models names no model")
    return names


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _out(report: dict[str, Any], json_file: str | None, csv_file: str | None, show: Any) -> None:
    if json_file == "-":
        click.echo(json.dumps(report))
    else:
        show()
    if json_file not in (None, "-"):
        _write(json_file, json.dumps(report, indent=2) + "\n")
    if csv_file is not None:
        _write(csv_file, _csv(report["models"]))


def _loaded(source: str, limit: int | None) -> Any:
    path = movielens.locate(source, say=lambda text: click.echo(text, err=True))
    return movielens.load_arrays(path, limit=limit)


def _stream(
    source: str,
    positive: float,
    protocol: rating_stream.Protocol,
    limit: int | None,
    shuffle_ties: int | None,
) -> Stream:
    data = _loaded(source, limit)
    given = np.flatnonzero(~np.isnan(data.ratings))
    if shuffle_ties is not None:
        given = given[rating_stream.shuffled_ties(data.timestamps[given], shuffle_ties)]
    return Stream.of(
        data.users[given], data.items[given], data.ratings[given], data.timestamps[given], positive, protocol
    )


def _signed(source: str, positive: float, negative: float, limit: int | None) -> Signed:
    data = _loaded(source, limit)
    return Signed.of(data.users, data.items, data.ratings, data.timestamps, positive, negative)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _top3(signed: Signed, names: list[str], test: float, splits: int, seed: int) -> dict[str, Any]:
    with _progress() as progress:
        task = progress.add_task("models", total=len(names) * splits)
        advance = functools.partial(progress.advance, task)
        results, users = top_accuracy.evaluate(signed, names, test, splits, seed, advance)
    return {"tested_users": users, "models": [result.summary() for result in results]}


def _show_top3(report: dict[str, Any]) -> None:
    caption = (
        f"{report['tested_users']} users with 3 test items or more, over {report['splits']} splits "
        f"(seed {report['seed']}): {report['test']:.0%} of {report['ratings']} ratings tested."
    )
    table = Table("model", "top-3 accuracy", "+-", caption=caption)
    for row in report["models"]:
        cells = (row["top3_accuracy"], row["deviation"])
        table.add_row(row["model"], *("-" if cell is None else f"{cell:.1%}" for cell in cells))
    _print(table)


def _print(table: Table) -> None:
    console = Console()
    # A pipe gets whole rows, however long they are.
    Console(width=None if console.is_terminal else 200).print(table)


def _evaluated(stream: Stream, names: list[str], seed: int) -> list[Evaluation]:
    with _progress() as progress:
        results = []
        for name in names:
            task = progress.add_task(name, total=len(stream))
            results += evaluation.evaluate(stream, [name], seed, functools.partial(progress.advance, task))
        return results


def _show(results: list[Evaluation], window: int) -> None:
    table = Table("model", *_SHOWN.values(), "McNemar", caption=_caption(results, window))
    last = results[-1].array()
    for result in results:
        summary = result.summary()
        cells = ["-" if summary[key] is None else _cell(key, summary[key]) for key in _SHOWN]
        worse, better, undecided = rank_metrics.better_windows(result.array(), last, window)
        compared = "" if result is results[-1] else f"{worse}:{better}:{undecided}"
        table.add_row(result.model, *cells, compared)
    _print(table)


def _caption(results: list[Evaluation], window: int) -> str:
    return (
        f"{len(results[-1].ranks)} targets. McNemar: windows of {window} targets in which the model beats "
        f"{results[-1].model}, is beaten by it, undecided at 5 %."
    )


def _cell(key: str, value: float) -> str:
    return f"{value:.2f}" if key.endswith("_us") else f"{value:.4f}"


def _csv(rows: Any) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(name: str | None, text: str) -> None:
    assert name is not None
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise RecommenderError(f"{name} cannot be written: {error.strerror}") from None


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise RecommenderError(
            "--plot needs matplotlib, which is not installed: pip install 'faust-recommender[plot]'"
        ) from None
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _plot(results: list[Evaluation], window: int, name: str) -> None:
    pyplot = _pyplot()
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
