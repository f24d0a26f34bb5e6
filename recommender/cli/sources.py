"""`recommender sources`: looks what a mapping makes of a topic, and proposes one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import click

from recommender.errors import RecommenderError
from recommender.ingest.sources.configured import impressions_of, item_mappings_of, mappings_of, registry_of
from recommender.ingest.sources.fields import escaped
from recommender.ingest.sources.file import parse
from recommender.ingest.sources.guess import guess as guess_mapping
from recommender.ingest.sources.impressions_file import SHOWN
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.ingest.sources.sample import (
    Outcome,
    Sample,
    judge,
    judge_items,
    newest,
    partitioner,
    reader_for,
    unread,
)
from recommender.kafka import access, topics
from recommender.kafka.admin import open_admin, security_options
from recommender.kafka.log_reader import reading_logs
from recommender.kafka.topic_configs import DAY_MS, FOREVER, read_configs
from recommender.kafka.topics import TopicInfo
from recommender.settings import Settings
from recommender.settings import load as load_settings
from recommender.shard.feedback import Feedback

_SHOWN = 5


@click.group()
def sources() -> None:
    """Show what the sources of RECOMMENDER_SOURCES give, and propose one for a topic."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())


_SAMPLE = click.option(
    "--sample",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="Newest records to read.",
)


@sources.command(short_help="Print what the newest records would give.")
@_SAMPLE
def check(sample: int) -> None:
    """Read the newest records of each source and print what would be learned.

    Nothing is written. Exits with 1 if a topic is missing, may not be read, or does not fit its mapping.
    """
    config = load_settings()
    kinds = list(_kinds(config))
    if not kinds:
        raise RecommenderError("RECOMMENDER_SOURCES is not set: expected a file of sources")
    names = [kind.mapping.topic for kind in kinds]
    found = topics.describe(config.broker, names, config.broker_wait, security_options(config))
    fits = [_check(config, kind, found.get(kind.mapping.topic), sample) for kind in kinds]
    if not all(fits):
        sys.exit(1)


@sources.command(short_help="Propose a table for a topic, and print what it gives.")
@click.argument("topic")
@_SAMPLE
def guess(topic: str, sample: int) -> None:
    """Propose a table for TOPIC from its newest records, and print what it would give.

    The table goes to standard output, and the rest to standard error.
    """
    config = load_settings()
    found = topics.identify(config.broker, topic, config.broker_wait, security_options(config))
    access.require([found], {topic: [access.READ]}, config.broker)
    feedback = _feedback(config)
    sampled = _sampled(config, found, sample)
    if not sampled.records:
        raise RecommenderError(f"Topic {topic!r} has no records to guess from")
    registry, limits = registry_of(config), (feedback.low, feedback.high)
    (plain,) = parse(f"[{escaped(topic)}]", "the topic", *limits)
    reader = reader_for(plain, sampled.records, registry)
    proposed = guess_mapping(topic, sampled.records, *limits, reader)
    click.echo(str(proposed), nl=False)
    if proposed.missing:
        if registry is None and any((each.value or b"")[:1] in (b"\0", b"\1") for each in sampled.records):
            click.echo("# values begin with a schema's id: set RECOMMENDER_REGISTRY", err=True)
        for reason, count in unread(sampled.records, reader).most_common(1):
            click.echo(f"# {count:,} of {len(sampled.records):,} values give no fields: {reason}", err=True)
        click.echo(f"# not found: {', '.join(proposed.missing)}; complete it by hand", err=True)
        sys.exit(1)
    (mapping,) = parse(str(proposed), "the proposed table", feedback.low, feedback.high)
    outcome = judge(mapping, sampled.records, *limits, skips=feedback.skips, registry=registry)
    for line in _lines(sampled, outcome):
        click.echo(f"# {line}", err=True)


def _feedback(config: Settings) -> Feedback:
    return Feedback.parse(config.feedback, config.rating_min, config.rating_max)


def _sampled(config: Settings, found: TopicInfo, most: int) -> Sample:
    with reading_logs(config.broker, security_options(config)) as reader:
        return newest(reader, found.topic, found.partitions, most)


class _Kind(NamedTuple):
    """A source, what its records say, and who judges them."""

    mapping: SourceMapping | ItemsMapping
    what: str
    judge: Callable[[Sequence[Any]], Outcome]


def _kinds(config: Settings) -> Iterator[_Kind]:
    """All sources of the settings."""
    feedback = _feedback(config)
    by_scale = partial(judge, low=feedback.low, high=feedback.high, skips=feedback.skips)
    for mapping in mappings_of(config):
        yield _Kind(mapping, "ratings", partial(by_scale, mapping, registry=registry_of(config)))
    for mapping in impressions_of(config):
        yield _Kind(mapping, "impressions", partial(judge, mapping, low=SHOWN, high=SHOWN))
    for items in item_mappings_of(config):
        yield _Kind(items, "items", partial(judge_items, items))


def _check(config: Settings, kind: _Kind, found: TopicInfo | None, sample: int) -> bool:
    """Print what a source gives; False where it gives nothing, or not what it should."""
    mapping = kind.mapping
    if found is None:
        click.echo(f"{mapping.name}: topic {mapping.topic!r} does not exist yet")
        return False
    try:
        access.require([found], {found.topic: [access.READ]}, config.broker)
    except RecommenderError as error:
        click.echo(f"{mapping.name}: {error}")
        return False
    sampled = _sampled(config, found, sample)
    plural = "" if found.partitions == 1 else "s"
    click.echo(
        f"{mapping.name}: topic {found.topic!r}, {found.partitions} partition{plural}, about "
        f"{sampled.written:,} records, {_kept(config, found.topic)}"
    )
    try:
        outcome = kind.judge(sampled.records)
    except SourcesError as error:
        click.echo(f"  {error}")
        return False
    for line in _lines(sampled, outcome, kind.what):
        click.echo(f"  {line}")
    if outcome.records and not outcome.learned + outcome.forgets:
        click.echo("  none of these records would be learned")
    if outcome.rejected <= config.max_rejected:
        return True
    ends = f": a worker would end ({config.max_rejected:g} % are allowed)" if kind.what == "ratings" else ""
    click.echo(f"  this mapping does not fit{ends}")
    return False


def _kept(config: Settings, topic: str) -> str:
    """The topic's retention, in words."""
    with open_admin(config.broker, config.broker_wait, security_options(config)) as admin:
        configs = read_configs(admin, [topic])[topic]
    if not configs:
        return "retention not known: its settings may not be read"
    told = [configs["cleanup.policy"]]
    if configs["retention.ms"] != FOREVER and "delete" in configs["cleanup.policy"]:
        told.append(f"kept for {int(configs['retention.ms']) / DAY_MS:g} days")
    else:
        told.append("kept for ever")
    return ", ".join(told)


def _lines(sampled: Sample, outcome: Outcome, what: str = "ratings") -> list[str]:
    """Lines that say what became of a sample."""
    if not outcome.records:
        return ["no records"]
    rejected = len(outcome.refusals)
    told = [
        f"of the newest {outcome.records:,} records: {outcome.learned:,} learned, "
        f"{outcome.skipped:,} skipped, {rejected:,} rejected ({outcome.rejected:.1f} %)"
    ]
    if outcome.forgets:
        told.append(f"{outcome.forgets:,} say whom to forget")
    if what == "items":
        told.append(f"{len(outcome.items):,} items")
    elif outcome.ratings:
        count = outcome.ratings.total()
        told.append(f"{count:,} {what} of {len(outcome.items):,} items by {len(outcome.users):,} users")
        values = [
            ("withdrawn" if each is None else f"{each:g}", n) for each, n in outcome.ratings.most_common(8)
        ]
        if what == "ratings":
            told.append("ratings: " + ", ".join(f"{n:,} x {each}" for each, n in values))
        times = [datetime.fromtimestamp(each, UTC).isoformat(" ", "seconds") for each in outcome.times]
        told.append(f"times: {times[0]} to {times[1]}")
    if outcome.reasons:
        told.append("skipped: " + ", ".join(f"{n:,} {each}" for each, n in outcome.reasons.items()))
    if outcome.events:
        names = ", ".join(f"{name!r} {n:,}" for name, n in outcome.events.most_common(20))
        told.append(f"events that are not listed: {names}")
    reasons: dict[str, list[str]] = {}
    for each in outcome.refusals:
        reasons.setdefault(each.reason, []).append(f"{each.topic}[{each.partition}] offset {each.offset}")
    for reason, places in sorted(reasons.items(), key=lambda each: -len(each[1]))[:_SHOWN]:
        told.append(f"rejected: {len(places):,} times {reason}, first {places[0]}")
    return told + _of_keys(sampled, outcome)


def _of_keys(sampled: Sample, outcome: Outcome) -> list[str]:
    if not outcome.keys:
        return []
    told = f"keys: {100 * outcome.keys[True] / outcome.keys.total():.0f} % are the user's id"
    rule = partitioner(sampled.records, sampled.partitions)
    return [told if rule is None else f"{told}; partitions are chosen by {rule}"]
