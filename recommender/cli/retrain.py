"""`recommender retrain`: new checkpoints from the journal, alongside the running workers."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

import click
from rich.table import Table

from recommender.cli.output import print_table, progress_bar
from recommender.ingest.sources.configured import impressions_of, mappings_of, with_log_for, with_repeats
from recommender.models import registry
from recommender.retraining import retrain as retraining
from recommender.retraining import schedule
from recommender.retraining.quality import Quality
from recommender.retraining.retrain import RetrainReport
from recommender.settings import Settings, variable
from recommender.settings import load as load_settings
from recommender.shard import warmup
from recommender.shard.live_metrics import TOP
from recommender.shard.options import arms_of


@click.command()
@click.option("--to", metavar="PLACE",
              help="Where the new checkpoints go. Default: running workers take them over.")  # fmt: skip
@click.option("--every", type=click.IntRange(min=1), metavar="RATINGS",
              help="Stay, and retrain after every N more ratings.")  # fmt: skip
@click.option("--model", help="The model to learn with. Default: RECOMMENDER_MODEL.")
@click.option("--arms", help="Several models to learn with. Default: RECOMMENDER_ARMS.")
@click.option("--feedback", help="Which ratings teach. Default: RECOMMENDER_FEEDBACK.")
@click.option("--broker", help="Kafka's bootstrap servers. Default: RECOMMENDER_BROKER.")
@click.option("--checkpoints", help="Where the running ones are. Default: RECOMMENDER_CHECKPOINTS.")
@click.option("--tolerance", type=click.FloatRange(0, 1), default=0.01, show_default=True,
              help="How much lower recall@10 may be than that of the running checkpoints.")  # fmt: skip
@click.option("--repair", is_flag=True, help="Replace running checkpoints that are not what the log gives.")
@click.option("--allow-gap", is_flag=True, help="Learn what is left of a log that has lost its beginning.")
def retrain(to: str | None, every: int | None, **options: Any) -> None:
    """Learn the journal again, alongside the running workers, into new checkpoints.

    The settings are those that the workers are to have from now on. The new checkpoints are read back, and
    their recall@10 on the newest tests is compared with that of the running ones at the same offset. Where
    the settings are the same, their digests must be equal. If that fails, the new ones are deleted, and the
    exit code is 1.

    Then they are handed over: each worker that has the same place of checkpoints notices it within
    seconds, learns what came since, and changes over without a pause. It may be another model, or other
    arms. Another feedback policy or scale needs restarted workers: learn --to PLACE,
    and restart them one after the other with RECOMMENDER_CHECKPOINTS=PLACE and the new settings.

    Only changed settings need this: workers learn every rating at once, and what
    knn-baseline cannot keep up to date it computes again by itself, after as many ratings as
    knn-baseline/retrain=10000 says.
    """
    if to is not None and every is not None:
        raise click.UsageError("--every hands over to the running workers: it goes without --to")
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    switches = {name: options.pop(name) for name in ("tolerance", "repair", "allow_gap")}
    config = load_settings(_environment(options), **options)
    config = with_log_for(with_repeats(config, mappings_of(config)), impressions_of(config))
    models = arms_of(config).names
    for model in models:
        registry.check(model)
    warmup.warm(models)
    if every is not None:
        _repeat(config, every, switches)
    elif not _once(config, to, switches):
        sys.exit(1)


def _environment(options: dict[str, Any]) -> dict[str, str]:
    """The variables, without those that an option replaces: models are named one way or the other."""
    replaced = [
        other for given, other in (("arms", "model"), ("model", "arms")) if options[given] is not None
    ]
    names = {variable(each) for each in replaced}
    return {name: value for name, value in os.environ.items() if name not in names}


def _repeat(config: Settings, every: int, switches: dict[str, Any]) -> None:
    """Retrain again and again until stopped, which is a good end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        schedule.run(config, every, lambda: _once(config, None, switches), click.echo)
    except KeyboardInterrupt:
        click.echo("Stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def _once(config: Settings, to: str | None, switches: dict[str, Any]) -> bool:
    """Retrain, and tell what came of it; whether the new checkpoints are to be used."""
    report = _retrain(config, to, switches)
    _show(report)
    for note in report.notes:
        click.echo(note)
    if report.objections:
        for objection in report.objections:
            click.secho(objection, fg="red", err=True)
        left = "nothing was handed over" if to is None else f"nothing was left in {to}"
        click.secho(f"Refused: {left}", fg="red", err=True)
        return False
    if to is None:
        place = f"RECOMMENDER_CHECKPOINTS={config.checkpoints}"
        click.echo(f"Handed over: workers with {place} continue with it, or say in their log why they cannot")
    else:
        click.echo(f"To hand over, restart the workers one after the other with {_variables(config, to)}")
    return True


def _retrain(config: Settings, to: str | None, switches: dict[str, Any]) -> RetrainReport:
    with progress_bar() as progress:
        task = progress.add_task("learning", total=None)

        def advance(partition: int, done: int, total: int) -> None:
            progress.update(task, description=f"partition {partition}", completed=done, total=total)

        return retraining.retrain(config, to, advance=advance, **switches)


def _show(report: RetrainReport) -> None:
    table = Table(
        "partition", "offset", "users", "items", "events", f"recall@{TOP}", "running", "digest", box=None
    )
    for each in report.learned:
        numbers = (each.partition, each.offset, each.users, each.items, each.events)
        recalls = (_recall(each.quality), "-" if each.running is None else _recall(each.running))
        table.add_row(*map(str, numbers), *recalls, each.digest[:8])
    print_table(table)


def _recall(quality: Quality) -> str:
    return f"{quality.recall(quality.best):.4f}" if quality.tests else "-"


def _variables(config: Settings, to: str) -> str:
    """The variables that the workers need from now on."""
    models = f"RECOMMENDER_ARMS={config.arms}" if config.arms else f"RECOMMENDER_MODEL={config.model}"
    return f"RECOMMENDER_CHECKPOINTS={to} {models} RECOMMENDER_FEEDBACK={config.feedback}"
