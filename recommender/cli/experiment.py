"""`recommender experiment`: what came of an A/B experiment."""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from recommender.cli.output import progress_bar
from recommender.errors import RecommenderError
from recommender.experiments import chart, reading, saved_join
from recommender.experiments.log_join import JoinedLogs
from recommender.experiments.summary import Summary, summary
from recommender.experiments.tables import show
from recommender.journal.identity import rule_of
from recommender.settings import Settings, load
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> float:
    """Seconds in a text as 7d or 1.5h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip())
    seconds = float(found[1]) * SECONDS[found[2]] if found else 0.0
    if not 0.0 < seconds <= 100 * 365 * SECONDS["d"]:
        raise click.BadParameter(f"{value!r}: expected a number above 0 and one of s, m, h, d, w, as in 7d")
    return seconds


def _moment(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Seconds since 1970 of a date or a time, UTC unless it says otherwise."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r}: expected a date as 2026-01-31, or a time as 2026-01-31T12:00"
        ) from None


def _picture(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.lower().endswith((".svg", ".png")):
        raise click.BadParameter(f"{value!r}: expected a name that ends in .svg or .png")
    return value


@click.group()
def experiment() -> None:
    """Compare what the arms of an A/B experiment led to."""


@experiment.command()
@click.option("--experiment", "name", metavar="NAME", help="Which one. Default: RECOMMENDER_EXPERIMENT.")
@click.option("--base", metavar="ARM", help="Compare with this arm. Default: the first.")
@click.option("--window", default="7d", show_default=True, callback=_duration,
              help="How long after an item was recommended its rating counts.")  # fmt: skip
@click.option("--since", metavar="TIME", callback=_moment, help="Only recommendations from then on (UTC).")
@click.option("--until", metavar="TIME", callback=_moment, help="Only recommendations before then.")
@click.option("--lateness", default="1d", show_default=True, callback=_duration,
              help="Records further out of order by their own times are left out.")  # fmt: skip
@click.option("--positions", is_flag=True, help="Also show each position of the lists.")
@click.option("--state", "state_file", metavar="FILE.npz",
              help="Continue from this file and save to it: only what is new is read.")  # fmt: skip
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON; - prints nothing else.")
@click.option("--plot", "plot_file", metavar="FILE.svg|png", callback=_picture,
              help="Write the rates with their intervals as a picture.")  # fmt: skip
@click.option("--broker", help="HOST:PORT of Kafka. Default: RECOMMENDER_BROKER.")
def report(
    name: str | None,
    base: str | None,
    window: float,
    since: float | None,
    until: float | None,
    lateness: float,
    positions: bool,
    state_file: str | None,
    json_file: str | None,
    plot_file: str | None,
    broker: str | None,
) -> None:
    """Compare what the arms of an experiment led to.

    Reads the journal and the recommendations log up to where they end now, and joins them: a rating counts
    for the latest recommendation of its item to its user within the window before it. Nothing is written to
    Kafka, and no worker is needed.
    """
    if state_file is not None and until is not None:
        raise click.UsageError("--state continues with what comes next: it goes without --until")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must be before --until")
    if plot_file is not None and plot_file.lower().endswith(".png"):
        chart.require_matplotlib()
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    settings = load(broker=broker)
    feedback = Feedback.parse(settings.feedback, settings.rating_min, settings.rating_max)
    logs = reading.find(settings)
    journal, options = logs.journal, ShardOptions(feedback=feedback)
    rules = [rule_of(journal, partition, options) for partition in range(journal.partitions)]
    joined = JoinedLogs(
        rules,
        logs.recommendations.partitions,
        feedback,
        window=window,
        lateness=lateness,
        since=-math.inf if since is None else since,
        until=math.inf if until is None else until,
    )
    topics = [name for each in (journal, logs.recommendations) for name in (each.topic, each.topic_id)]
    identity = {"topics": topics, "window": window, "lateness": lateness, "since": since,
                "feedback": f"{feedback}, {feedback.low:g} to {feedback.high:g}"}  # fmt: skip
    if state_file is not None:
        saved_join.load(state_file, identity, joined)
    gaps = _read(settings, logs, joined)
    if state_file is not None:
        saved_join.save(state_file, identity, joined)
    told = summary(settings, logs, joined, name=name, base=base, window=window, since=since, until=until)
    _write_all(told, json_file, plot_file, positions)
    for warning in [*gaps, *told.warnings]:
        click.secho(f"Note: {warning}", fg="yellow", err=True)


def _read(settings: Settings, logs: reading.Logs, joined: JoinedLogs) -> list[str]:
    with progress_bar() as progress:
        task = progress.add_task("reading", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return reading.read(settings, logs, joined, advance)


def _write_all(told: Summary, json_file: str | None, plot_file: str | None, positions: bool) -> None:
    if json_file == "-":
        click.echo(json.dumps(told.as_json()))
    else:
        show(told, Console(), positions=positions)
    if json_file not in (None, "-"):
        _write(json_file, (json.dumps(told.as_json(), indent=2) + "\n").encode())
    if plot_file is not None:
        title = f"{chart.TITLE}, experiment {told.experiment}"
        svg = plot_file.lower().endswith(".svg")
        draw: Any = chart.as_svg if svg else chart.as_png
        drawn = draw(told.report, title)
        _write(plot_file, drawn.encode() if svg else drawn)


def _write(name: str | None, content: bytes) -> None:
    assert name is not None
    try:
        Path(name).write_bytes(content)
    except OSError as error:
        raise RecommenderError(f"{name} cannot be written: {error.strerror}") from None
