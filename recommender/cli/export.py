"""`recommender export`: all that is known of a user, for the one who asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import click
import orjson

from recommender import settings
from recommender.checkpoints.checkpoint import CheckpointError
from recommender.checkpoints.checkpoint import read as read_checkpoint
from recommender.checkpoints.export import RATINGS, ratings_of
from recommender.checkpoints.inspection import find as find_checkpoints
from recommender.journal.lines import user_lines
from recommender.journal.reading import find, reading, rule_for
from recommender.settings import Settings


@click.command()
@click.option("--user", required=True, metavar="ID", help="Of whom.")
def export(user: str) -> None:
    """Print what the journal and the newest checkpoints hold of a user, as JSON lines.

    From the journal comes each rating that was ever given, taken back or forgotten, in order; from
    checkpoints each that stands, if RECOMMENDER_CHECKPOINTS can be reached from here. The page "Personal
    data" of the documents says what other topics hold.
    """
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("kafka").addHandler(logging.NullHandler())
    config = settings.load()
    count = asyncio.run(_print_journal(config, user))
    for place, row in _standing(config, user):
        _print({"from": "checkpoint", "checkpoint": place, **dict(zip(RATINGS, row, strict=True))})
        count += 1
    click.echo(f"{user}: {count:,} lines", err=True)


def _print(line: dict[str, Any]) -> None:
    click.echo(orjson.dumps(line))


async def _print_journal(config: Settings, user: str) -> int:
    count = 0
    async for line in _of_journal(config, user):
        _print({"from": "journal", **line})
        count += 1
    return count


async def _of_journal(config: Settings, user: str) -> AsyncIterator[dict[str, Any]]:
    """The events of a user that count in the journal, in its order."""
    found = await find(config)
    for partition in range(found.partitions):
        async with reading(config, found.topic, partition) as log:
            rule = rule_for(found, partition, log.bounds.begin)
            async with contextlib.aclosing(log.records(log.bounds.begin)) as batches:
                async for records in batches:
                    followed = rule.follow(records)
                    for line in user_lines(followed.rows, user):
                        yield line
                    if followed.error is not None:
                        raise followed.error


def _standing(config: Settings, user: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The ratings in the newest checkpoint of each partition, and which that is."""
    try:
        places = find_checkpoints(config.checkpoints, newest=True)
    except CheckpointError as error:
        click.secho(str(error), fg="yellow", err=True)
        return
    for place in places:
        for row in ratings_of(read_checkpoint(place), user):
            yield str(place), row
