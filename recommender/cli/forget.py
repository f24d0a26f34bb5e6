"""`recommender forget`: nothing shall be known of a user or an item any more."""

from __future__ import annotations

import asyncio
import logging

import click

from recommender import settings as settings_room
from recommender.cli.output import progress_bar
from recommender.client.forgetting import write_forgotten
from recommender.client.ratings import Written
from recommender.journal.block import Source
from recommender.journal.identity import topic_id
from recommender.journal.reading import find
from recommender.journal.rewriting import Rewritten, rewrite
from recommender.kafka.admin import security_options
from recommender.kafka.log_cutting import delete_before
from recommender.kafka.topics import TopicInfo, Topics, identify
from recommender.retraining import handover
from recommender.settings import Settings


@click.command()
@click.option("--user", "users", multiple=True, metavar="ID", help="Whom to forget; may be given again.")
@click.option("--item", "items", multiple=True, metavar="ID", help="An item to forget; may be given again.")
@click.option("--rewrite", "rewrites", is_flag=True,
              help="Copy the journal without all who are forgotten, and delete the old one.")  # fmt: skip
@click.option("--broker", help="HOST:PORT of Kafka. Default: RECOMMENDER_BROKER.")
@click.option("--checkpoints", help="Where the workers' are. Default: RECOMMENDER_CHECKPOINTS.")
@click.option("--timeout", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds.")
def forget(
    users: tuple[str, ...],
    items: tuple[str, ...],
    rewrites: bool,
    broker: str | None,
    checkpoints: str | None,
    timeout: float,
) -> None:
    """Write to the ratings topic that users and items are to be forgotten.

    As soon as a worker has learned that, it answers them as if they had never been there, and the checkpoints
    that it saves from then on hold nothing of them. The topics hold what they held: the page "Personal data"
    of the documents says where, and how to clear it.

    With --rewrite the journal is cleared, while workers run: a copy without those who were forgotten is
    appended to it, running workers learn the copy alongside and change over without a pause, and what lies
    before the copy is deleted. Workers delete their older checkpoints then.

    The exit code is 1 where Kafka did not take all of it.
    """
    if not users and not items and not rewrites:
        raise click.UsageError("expected --user, --item or --rewrite")
    for name in ("recommender", "aiokafka", "kafka"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    settings = settings_room.load(broker=broker, checkpoints=checkpoints)
    written = _write(settings, users, items, timeout) if users or items else []
    if rewrites:
        _rewrite(settings, written)


def _write(
    settings: Settings, users: tuple[str, ...], items: tuple[str, ...], timeout: float
) -> list[Written]:
    """Write whom to forget; where that stands."""
    named = [("user", each) for each in users] + [("item", each) for each in items]
    topic, security, found = Topics(settings.topic_prefix).ratings, security_options(settings), []
    writing = write_forgotten(named, settings.broker, topic, timeout, security)
    try:
        for (kind, each), written in zip(named, writing, strict=True):
            found.append(written)
            click.echo(f"{kind} {each}: written to partition {written.partition}, offset {written.offset}")
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return found


def _rewrite(settings: Settings, written: list[Written]) -> None:
    """Rewrite the journal, partition by partition, once it has what was written."""
    found = asyncio.run(find(settings))
    ratings = identify(
        settings.broker,
        Topics(settings.topic_prefix).ratings,
        settings.broker_wait,
        security_options(settings),
    )
    wanted: dict[Source, int] = {}
    for each in written:
        source = Source(topic_id(ratings), each.partition)
        wanted[source] = max(each.offset, wanted.get(source, -1))
    # Below 0 there is nothing: a user who may not delete is refused before all is copied.
    delete_before(settings, found.topic, dict.fromkeys(range(found.partitions), 0))
    for partition in range(found.partitions):
        result = _rewrite_partition(settings, found, partition, wanted)
        place = f"{found.topic}[{partition}]"
        if result.begin < 0:
            click.echo(f"{place}: nobody was forgotten, so it stays as it is")
            continue
        # Workers that come by what was handed over must not look for what is deleted next.
        handover.begin_again(settings.checkpoints, found.topic, found.topic_id, {partition: result.begin})
        delete_before(settings, found.topic, {partition: result.begin})
        plural = result.forgotten != 1
        click.echo(
            f"{place}: begins at offset {result.begin} now, with copies of {result.rows:,} ratings in "
            f"{result.blocks:,} blocks, without {result.left_out:,} of them, of {result.forgotten:,} "
            f"user{'s' * plural} or item{'s' * plural} that {'are' if plural else 'is'} forgotten. Workers "
            "take it over by themselves, and delete checkpoints from before"
        )


def _rewrite_partition(
    settings: Settings, found: TopicInfo, partition: int, wanted: dict[Source, int]
) -> Rewritten:
    with progress_bar() as progress:
        task = progress.add_task(f"partition {partition}", total=None)

        def advance(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return asyncio.run(rewrite(settings, found, partition, wanted, advance))
