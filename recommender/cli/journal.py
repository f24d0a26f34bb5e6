"""`recommender journal`: looks into the journal, checks it, and takes the ratings out of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import uuid
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import IO, Any

import click

from recommender import settings
from recommender.journal.block_reader import fault_of, read
from recommender.journal.errors import JournalError
from recommender.journal.lines import block_line, fault_line, rating_lines
from recommender.journal.reading import find, reading, rule_for
from recommender.journal.rule import Rule
from recommender.kafka.topics import TopicInfo
from recommender.settings import Settings

#: Damaged records that are named.
NAMED = 10


@click.group()
def journal() -> None:
    """Show, verify and export the journal: the ordered log of ratings that all workers follow."""
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("kafka").addHandler(logging.NullHandler())


@journal.command()
@click.option(
    "--from", "first", type=click.IntRange(min=0), metavar="N", help="The first offset. Default: all."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="How many blocks.")
@click.option(
    "--partition", type=click.IntRange(min=0), default=0, help="Of the journal, where it has several."
)
def show(first: int | None, limit: int | None, partition: int) -> None:
    """Print blocks as JSON lines. Exits with 1 if one is damaged."""
    if not _run(_show(settings.load(), first, limit, partition)):
        sys.exit(1)


@journal.command()
def verify() -> None:
    """Read all of the journal and check every block. Exits with 1 if one is damaged.

    Blocks that are duplicate or cut are what crashes leave, and do no harm. Blocks that are ahead do not
    count: something before them was lost, and its owner has sent it again. Workers that have followed to the
    same offset have the same hash.
    """
    if not _run(_verify(settings.load())):
        sys.exit(1)


@journal.command(short_help="Write the ratings that count, as JSON lines.")
@click.option("--to", required=True, metavar="FILE", help="A file, or - for standard output.")
def export(to: str) -> None:
    """Write the ratings that count, once each and in the journal's order, as the ratings topic takes them."""
    count = _run(_export(settings.load(), to))
    click.echo(f"{to}: {count:,} ratings", err=True)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


async def _show(config: Settings, first: int | None, limit: int | None, partition: int) -> bool:
    found = await find(config)
    if partition >= found.partitions:
        raise JournalError(
            f"Topic {found.topic!r} has {found.partitions} partitions: there is no {partition}"
        )
    left, whole = limit, True
    async with reading(config, found.topic, partition) as log:
        begin = log.bounds.begin if first is None else first
        if not log.bounds.begin <= begin <= log.bounds.end:
            raise JournalError(
                f"{found.topic}[{partition}] has offsets from {log.bounds.begin} to {log.bounds.end - 1}: "
                f"there is no {begin}"
            )
        async with contextlib.aclosing(log.records(begin)) as batches:
            async for records in batches:
                for record in records[:left]:
                    fault = fault_of(record.value)
                    whole &= fault is None
                    click.echo(_line(found.topic, record, fault), nl=False)
                left = None if left is None else left - len(records)
                if left is not None and left <= 0:
                    break
    return whole


def _line(topic: str, record: Any, fault: str | None) -> bytes:
    if fault is not None:
        return fault_line(record.offset, record.timestamp, fault)
    return block_line(
        record.offset, record.timestamp, read(record.value, topic, record.partition, record.offset)
    )


async def _verify(config: Settings) -> bool:
    found = await find(config)
    results = [await _verify_partition(config, found, partition) for partition in range(found.partitions)]
    return all(results)


async def _verify_partition(config: Settings, found: TopicInfo, partition: int) -> bool:
    place, damaged = f"{found.topic}[{partition}]", 0
    async with reading(config, found.topic, partition) as log:
        begin = log.bounds.begin
        rule = rule_for(found, partition, begin)
        async with contextlib.aclosing(log.records(begin)) as batches:
            async for records in batches:
                if not damaged:
                    # Behind a damaged block nothing can be followed, but what else is damaged can be found.
                    with contextlib.suppress(JournalError):
                        rule.follow(records)
                for record in records if rule.position <= records[-1].offset else ():
                    fault = fault_of(record.value) if record.offset >= rule.position else None
                    damaged += fault is not None
                    if fault is not None and damaged <= NAMED:
                        click.secho(f"{place} offset {record.offset}: {fault}", fg="red")
    _print_verdict(rule, place, begin, damaged)
    return damaged == 0


def _print_verdict(rule: Rule, place: str, begin: int, damaged: int) -> None:
    if begin == rule.origin:
        click.echo(f"{place} was rewritten and begins at offset {begin}")
    elif begin > 0:
        click.secho(f"{place} begins at offset {begin}: what came before is deleted", fg="yellow", err=True)
    if damaged:
        click.secho(
            f"{place}: {damaged} damaged; nothing from offset {rule.position} on is followed", fg="red"
        )
    counts = rule.counts
    blocks = counts.applied + counts.duplicate + counts.ahead
    told = "is whole" if not damaged else "is whole up to there"
    click.echo(
        f"{place} {told}: {blocks:,} blocks, {counts.rows:,} ratings; "
        f"{counts.duplicate} duplicate, {counts.cut} cut, {counts.ahead} ahead; "
        f"next offset {rule.position}, hash {rule.hash:016x}"
    )
    for source, applied in sorted(rule.sources.items()):
        click.echo(
            f"  {uuid.UUID(bytes=source.topic_id)}[{source.partition}]: applied up to offset {applied}"
        )


async def _export(config: Settings, to: str) -> int:
    found, count = await find(config), 0
    with _target(to) as file:
        for partition in range(found.partitions):
            async with reading(config, found.topic, partition) as log:
                rule = rule_for(found, partition, log.bounds.begin)
                async with contextlib.aclosing(log.records(log.bounds.begin)) as batches:
                    async for records in batches:
                        followed = rule.follow(records)
                        file.write(rating_lines(followed.rows))
                        if followed.error is not None:
                            raise followed.error
            count += rule.counts.rows
    return count


@contextlib.contextmanager
def _target(to: str) -> Iterator[IO[bytes]]:
    """The file of an export; one that has its final name is whole."""
    if to == "-":
        yield sys.stdout.buffer
        return
    path = Path(to)
    if path.exists():
        raise JournalError(f"{path} exists already; delete it, or choose another place")
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise JournalError(f"cannot export to {path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
