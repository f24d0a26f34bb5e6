"""`recommender retrain`: new checkpoints from the whole log, beside the running workers."""

from __future__ import annotations

import logging
import sys

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from recommender import retraining
from recommender import settings as settings_room
from recommender.live import TOP
from recommender.models import registry
from recommender.quality import Quality
from recommender.retraining import Report
from recommender.settings import Settings


@click.command()
@click.option("--to", required=True, metavar="PLACE", help="Directory or URL of the new checkpoints.")
@click.option("--model", help="The model to learn with. Default: RECOMMENDER_MODEL.")
@click.option("--arms", help="Several models to learn with. Default: RECOMMENDER_ARMS.")
@click.option("--feedback", help="Which ratings teach. Default: RECOMMENDER_FEEDBACK.")
@click.option("--broker", help="Kafka's bootstrap servers. Default: RECOMMENDER_BROKER.")
@click.option("--checkpoints", help="Where the running ones are. Default: RECOMMENDER_CHECKPOINTS.")
@click.option("--tolerance", type=click.FloatRange(0, 1), default=0.01, show_default=True,
              help="How much lower recall@10 may be than that of the running checkpoints.")  # fmt: skip
@click.option("--allow-gap", is_flag=True, help="Learn what is left of a log that has lost its beginning.")
def retrain(to: str, tolerance: float, allow_gap: bool, **overrides: str | None) -> None:
    """Learn the whole log anew, beside the running workers, into new checkpoints.

    The settings are those that the workers are to have from now on. The new checkpoints are read back, and
    their recall@10 on the newest tests is compared with that of the running ones at the same offset. Where
    the settings are the same, their digests must be equal. If that fails, the new ones are deleted, and the
    exit code is 1.

    To hand over, restart the workers one after the other with RECOMMENDER_CHECKPOINTS=PLACE and the new
    settings. Each has only the newest ratings left to learn, and meanwhile the others answer.

    Only changed settings need this: workers learn every rating at once, and knn-baseline finds what it cannot
    keep up to date anew by itself, after so many ratings as knn-baseline/retrain=10000 says.
    """
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    config = settings_room.load(None, **overrides)
    models = settings_room.arms_of(config).names
    for model in models:
        registry.check(model)
    registry.warm(models)
    report = _retrain(config, to, tolerance, allow_gap)
    _show(report)
    for note in report.notes:
        click.echo(note)
    if report.objections:
        for objection in report.objections:
            click.secho(objection, fg="red", err=True)
        click.secho(f"Refused: nothing was left in {to}", fg="red", err=True)
        sys.exit(1)
    click.echo(f"To hand over, restart the workers one after the other with {_variables(config, to)}")


def _retrain(config: Settings, to: str, tolerance: float, allow_gap: bool) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("learning", total=None)

        def advance(partition: int, done: int, total: int) -> None:
            progress.update(task, description=f"partition {partition}", completed=done, total=total)

        return retraining.retrain(config, to, tolerance=tolerance, allow_gap=allow_gap, advance=advance)


def _show(report: Report) -> None:
    table = Table(
        "partition", "offset", "users", "items", "events", f"recall@{TOP}", "running", "digest", box=None
    )
    for each in report.learned:
        numbers = (each.partition, each.offset, each.users, each.items, each.events)
        recalls = (_recall(each.quality), "-" if each.running is None else _recall(each.running))
        table.add_row(*map(str, numbers), *recalls, each.digest[:8])
    console = Console()
    # A pipe gets whole rows, however long they are.
    Console(width=None if console.is_terminal else 200).print(table)


def _recall(quality: Quality) -> str:
    return f"{quality.recall(quality.best):.4f}" if quality.tests else "-"


def _variables(config: Settings, to: str) -> str:
    """The variables that the workers need from now on."""
    models = f"RECOMMENDER_ARMS={config.arms}" if config.arms else f"RECOMMENDER_MODEL={config.model}"
    return f"RECOMMENDER_CHECKPOINTS={to} {models} RECOMMENDER_FEEDBACK={config.feedback}"
