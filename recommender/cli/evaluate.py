"""`recommender evaluate`: how well models do on a data set, rating by rating."""

from __future__ import annotations

import csv
import functools
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from recommender import settings
from recommender.cli import evaluate_tables
from recommender.cli.output import progress_bar
from recommender.errors import RecommenderError
from recommender.evaluation import exploration_costs, hiding_costs, prequential, streams, top3
from recommender.evaluation.datasets import mapped, movielens
from recommender.evaluation.datasets.columns import Columns, RatingArrays
from recommender.evaluation.exploration_costs import Explored
from recommender.evaluation.hiding_costs import Hiding
from recommender.evaluation.prequential import Evaluation
from recommender.evaluation.streams import Stream
from recommender.evaluation.top3 import Signed
from recommender.shard.exploration import Exploration
from recommender.shard.feedback import Feedback

#: Models that are compared when none are named.
DEFAULT_MODELS = "random,popular,popular-recent,item-knn,sequence-knn,blend"
#: The same where their estimates of signed ratings are compared.
TOP3_MODELS = "popular,cooc,knn-baseline,sequence-knn"
TOP3 = "top3"

#: Measures lists of one model that are changed in several ways.
Measure = Callable[[Stream, str, Callable[[int], object]], Sequence[Explored | Hiding]]


@click.command()
@click.argument("source")
@click.option(
    "--models", help=f"Models, separated by commas. Default: {DEFAULT_MODELS}; top3: {TOP3_MODELS}."
)
@click.option(
    "--positive", type=float, default=4.0, show_default=True, help="Ratings of at least this are positive."
)
@click.option("--protocol", type=click.Choice((*streams.PROTOCOLS, TOP3)), default="graded",
              show_default=True, help="What is learned and what is a candidate.")  # fmt: skip
@click.option("--sources", metavar="FILE", help="SOURCE is a dump of a topic, a record's JSON on each "
              "line, and is mapped as this file of sources says.")  # fmt: skip
@click.option("--source", "table", metavar="NAME", help="Which table of --sources, where it has several.")
@click.option("--explore", help="Ways of exploring that are compared for each model, separated by commas: "
              "none,epsilon:0.1,softmax:0.5,thompson.")  # fmt: skip
@click.option("--hide-seen", metavar="TIMES", help="Hide what was shown so often, compared for each model: "
              "0,1,3; 0 hides nothing.")  # fmt: skip
@click.option("--hide-seen-for", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True,
              metavar="HOURS", help="What was shown in this many hours counts.")  # fmt: skip
@click.option("--json", "json_file", metavar="FILE", help="Write the metrics as JSON; - prints nothing else.")
@click.option("--csv", "csv_file", metavar="FILE", help="Write the metrics as a table with a header.")
@click.option("--plot", "plot_file", metavar="FILE", help="Write recall@10 over the stream as a picture.")
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first N ratings.")
@click.option(
    "--shuffle-ties", type=int, metavar="SEED", help="Draw the order inside equal timestamps at random."
)
@click.option(
    "--repeats", is_flag=True, help="Items that the user has are candidates and targets too: include_rated."
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
    sources: str | None,
    table: str | None,
    explore: str | None,
    hide_seen: str | None,
    hide_seen_for: float,
    json_file: str | None,
    csv_file: str | None,
    plot_file: str | None,
    limit: int | None,
    shuffle_ties: int | None,
    repeats: bool,
    window: int,
    negative: float,
    test: float,
    splits: int,
    seed: int,
) -> None:
    """Test models on SOURCE, each rating before it is learned.

    SOURCE is a rating file, possibly gzipped, a directory with one, or ml-100k; with --sources a dump of a
    topic. Targets are the last half
    of the positive ratings. The table, progress and notes go to the terminal; McNemar's test compares each
    model with the one named last.

    --protocol top3 measures something else: ratings become +1 and -1, a random part of them is learned, and
    of each user's items in the other part the three with the highest estimates are looked at. The figure is
    the share of them that the user liked, as a mean over users, next to that of three random ones.

    --explore mixes chance into each list, and shows what that costs in recall and gives in coverage.

    --hide-seen leaves out of each list what the user was shown so often, and shows what that costs in recall
    and how much of a list is new.
    """
    if table is not None and sources is None:
        raise click.UsageError("--source names a table of --sources")
    load = functools.partial(_loaded, sources=sources, table=table)
    names = _names(models, TOP3_MODELS if protocol == TOP3 else DEFAULT_MODELS)
    alone = explore is not None or hide_seen is not None
    if repeats and (alone or protocol == TOP3):
        raise click.UsageError("--repeats goes without --explore, --hide-seen and --protocol top3")
    if plot_file is not None:
        if protocol == TOP3:
            raise click.UsageError("--plot shows recall over the stream: --protocol top3 has none")
        evaluate_tables.require_matplotlib()
    if alone:
        if protocol == TOP3 or plot_file is not None or None not in (explore, hide_seen):
            one, other = ("--hide-seen", "--explore") if explore is None else ("--explore", "--hide-seen")
            raise click.UsageError(f"{one} goes without --protocol top3, --plot and {other}")
        measure = _exploring(explore, seed) if hide_seen is None else _hiding(hide_seen, hide_seen_for, seed)
        stream = _stream(load(source, limit), positive, protocol, shuffle_ties)
        rows = [row for name in names for row in _measured(stream, name, measure)]
        report = {"source": source, "positive": _whole(positive), "protocol": protocol,
                  "ratings": len(stream), "models": rows}  # fmt: skip
        show = evaluate_tables.show_explored if hide_seen is None else evaluate_tables.show_hiding
        _out(report, json_file, csv_file, lambda: show(rows))
        return
    if protocol == TOP3:
        if shuffle_ties is not None:
            raise click.UsageError("--shuffle-ties does not go with --protocol top3: it splits at random")
        signed = _signed(load(source, limit), positive, negative)
        report = {"source": source, "positive": _whole(positive), "negative": _whole(negative),
                  "protocol": protocol, "ratings": len(signed), "test": test, "splits": splits, "seed": seed,
                  **_top3(signed, names, test, splits, seed)}  # fmt: skip
        _out(report, json_file, csv_file, lambda: evaluate_tables.show_top3(report))
        return
    stream = _stream(load(source, limit), positive, protocol, shuffle_ties)
    results = _evaluated(stream, names, seed, repeats)
    report = {"source": source, "positive": _whole(positive), "protocol": protocol, "ratings": len(stream),
              "repeats": repeats, "models": [result.summary() for result in results]}  # fmt: skip
    _out(report, json_file, csv_file, lambda: evaluate_tables.show(results, window))
    if plot_file is not None:
        evaluate_tables.plot(results, window, plot_file)


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


def _loaded(source: str, limit: int | None, sources: str | None, table: str | None) -> RatingArrays:
    def say(text: str) -> None:
        click.echo(text, err=True)

    if sources is None:
        return movielens.load_arrays(movielens.locate(source, say=say), limit=limit)
    config = settings.load()
    feedback = Feedback.parse(config.feedback, config.rating_min, config.rating_max)
    mapping = mapped.mapping_of(sources, table, feedback.low, feedback.high)
    columns = Columns(mapped.read(source, mapping, feedback, say))
    columns.sort_by_time()
    return columns.arrays(limit)


def _stream(
    data: RatingArrays, positive: float, protocol: streams.Protocol, shuffle_ties: int | None
) -> Stream:
    given = np.flatnonzero(~np.isnan(data.ratings))
    if shuffle_ties is not None:
        given = given[streams.shuffled_ties(data.timestamps[given], shuffle_ties)]
    return Stream.of(
        data.users[given], data.items[given], data.ratings[given], data.timestamps[given], positive, protocol
    )


def _signed(data: RatingArrays, positive: float, negative: float) -> Signed:
    return Signed.of(data.users, data.items, data.ratings, data.timestamps, positive, negative)


def _top3(signed: Signed, names: list[str], test: float, splits: int, seed: int) -> dict[str, Any]:
    with progress_bar() as progress:
        task = progress.add_task("models", total=len(names) * splits)
        advance = functools.partial(progress.advance, task)
        results, users = top3.evaluate(signed, names, test, splits, seed, advance)
    return {"tested_users": users, "models": [result.summary() for result in results]}


def _exploring(explore: str | None, seed: int) -> Measure:
    ways = [Exploration.parse(each) for each in (explore or "").split(",")]
    return lambda stream, name, advance: exploration_costs.evaluate(stream, name, ways, seed, advance)


def _hiding(hide_seen: str, hours: float, seed: int) -> Measure:
    try:
        times = [int(each) for each in hide_seen.split(",")]
    except ValueError:
        raise click.UsageError(f"--hide-seen is {hide_seen!r}: expected integers such as 0,1,3") from None
    if min(times) < 0:
        raise click.UsageError(f"--hide-seen has {min(times)}: expected at least 0")
    return lambda stream, name, advance: hiding_costs.evaluate(stream, name, times, hours, seed, advance)


def _measured(stream: Stream, name: str, measure: Measure) -> list[dict[str, Any]]:
    with progress_bar() as progress:
        task = progress.add_task(name, total=len(stream))
        return [row.summary() for row in measure(stream, name, functools.partial(progress.advance, task))]


def _evaluated(stream: Stream, names: list[str], seed: int, repeats: bool) -> list[Evaluation]:
    with progress_bar() as progress:
        results = []
        for name in names:
            task = progress.add_task(name, total=len(stream))
            advance = functools.partial(progress.advance, task)
            results += prequential.evaluate(stream, [name], seed, advance, repeats=repeats)
        return results


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
