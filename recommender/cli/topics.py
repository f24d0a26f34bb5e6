"""`recommender topics`: creates the topics and checks them."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from recommender.kafka.admin import security_options
from recommender.kafka.topics import TopicInfo, Topics, ensure
from recommender.kafka.topics import check as check_topics
from recommender.settings import load


@click.command()
@click.option("--partitions", type=int, help="Partitions of each topic. Default: RECOMMENDER_PARTITIONS.")
@click.option("--replication", type=int, help="Copies of each partition. Default: RECOMMENDER_REPLICATION.")
@click.option(
    "--journal-partitions",
    type=int,
    help="Partitions of the journal. Default: RECOMMENDER_JOURNAL_PARTITIONS.",
)
@click.option("--check", is_flag=True, help="Only look, create nothing.")
def topics(
    partitions: int | None, replication: int | None, journal_partitions: int | None, check: bool
) -> None:
    """Create the topics that are missing and check those that exist.

    Topics may have any number of partitions, and get more while workers run; only that of the journal is
    fixed for good. A journal that is compacted or expires is an error.
    """
    if check and (partitions, replication, journal_partitions) != (None, None, None):
        raise click.UsageError("--check creates nothing: it goes without numbers of partitions and copies")
    settings = load(partitions=partitions, replication=replication, journal_partitions=journal_partitions)
    names, security = Topics(settings.topic_prefix), security_options(settings)

    def tell(line: str) -> None:
        click.echo(line, err=True)

    if check:
        found = check_topics(settings.broker, names, settings.broker_wait, security, tell=tell)
    else:
        found = ensure(
            settings.broker,
            names,
            settings.partitions,
            settings.replication,
            settings.broker_wait,
            security,
            exact=partitions is not None,
            journal_partitions=settings.journal_partitions,
            tell=tell,
        )
    _show(found, Console())


def _show(found: list[TopicInfo], console: Console) -> None:
    if console.is_terminal:
        table = Table("topic", "partitions", "state")
        for each in found:
            table.add_row(each.topic, str(each.partitions), "created" if each.created else "exists")
        console.print(table)
    else:
        for each in found:
            state = "created" if each.created else "exists"
            click.echo(f"{each.topic}\t{each.partitions}\t{state}")
    for each in found:
        for warning in each.warnings:
            click.secho(f"Warning: {each.topic}: {warning}", fg="yellow", err=True)
