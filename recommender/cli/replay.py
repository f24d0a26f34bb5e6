"""`recommender replay`: a data set of ratings, sent to the ratings topic as if it happened now."""

from __future__ import annotations

import itertools
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from recommender import settings as all_settings
from recommender.cli.replay_display import Display
from recommender.client import replay as replaying
from recommender.client.items import write_items
from recommender.client.producer import DELIVERY_SECONDS
from recommender.client.ratings import Format
from recommender.errors import RecommenderError, SourceError
from recommender.evaluation.datasets import mapped
from recommender.evaluation.datasets.columns import Columns, Order
from recommender.evaluation.datasets.movielens import locate, movies, read_events
from recommender.evaluation.datasets.values import UNITS, Unit
from recommender.kafka.admin import security_options
from recommender.kafka.topics import Topics, TopicsError
from recommender.messages.contract import KNOWN_SCALE
from recommender.messages.ratings import Event, Merge, Rating
from recommender.settings import Settings
from recommender.shard.feedback import Feedback

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(
    epilog="Exit codes: 0 all delivered, 1 some were not, 2 nothing could be done, 130 stopped by Ctrl-C.",
)
@click.argument("source")
@click.option("--broker", metavar="HOST:PORT", help="Kafka. Default: RECOMMENDER_BROKER or localhost:9092.")
@click.option("--topic", help="Where to. Default: ratings, after RECOMMENDER_TOPIC_PREFIX.")
@click.option("--rate", type=_POSITIVE, help="At most this many ratings a second.")
@click.option("--speed", type=_POSITIVE, help="This many times real time, by the timestamps.")
@click.option("--limit", type=click.IntRange(min=0), help="Only this many ratings.")
@click.option(
    "--skip", type=click.IntRange(min=0), default=0, help="Leave out this many ratings at the start."
)
@click.option(
    "--order",
    type=click.Choice(["time", "file"]),
    default="time",
    show_default=True,
    help="By timestamp, as the ratings were made, or as the lines stand, which needs no memory.",
)
@click.option(
    "--time-unit",
    type=click.Choice(list(UNITS)),
    default="s",
    show_default=True,
    help="Unit of the file's times, where they are numbers since 1970.",
)
@click.option(
    "--sources",
    metavar="FILE",
    help="SOURCE is a dump of a topic, a record's JSON on each line; this file says how it is mapped.",
)
@click.option("--source", "table", metavar="NAME", help="Which table of --sources, where it has several.")
@click.option(
    "--format",
    "message_format",
    type=click.Choice(["json", "msgpack"]),
    default="json",
    show_default=True,
    help="How ratings are written.",
)
@click.option(
    "--delivery-timeout",
    type=click.FloatRange(min=1),
    default=DELIVERY_SECONDS,
    show_default=True,
    help="Seconds for which the broker may be away.",
)
@click.option(
    "--items/--no-items",
    default=True,
    help="Write titles and genres to the items topic first, where both are there. Not with --topic.",
)
def replay(
    source: str,
    broker: str | None,
    topic: str | None,
    rate: float | None,
    speed: float | None,
    limit: int | None,
    skip: int,
    order: Order,
    time_unit: Unit,
    sources: str | None,
    table: str | None,
    message_format: Format,
    delivery_timeout: float,
    items: bool,
) -> None:
    """Replay the ratings of SOURCE to Kafka, keyed by user.

    SOURCE is a u.data, ratings.csv, ratings.dat, .inter or .jsonl file, also gzipped, or ml-100k, which is
    fetched; or what `recommender journal export` wrote, with --order file where somebody was forgotten or
    merged. A line that the worker would refuse is named and ends the replay. Ratings must lie on the scale
    that RECOMMENDER_FEEDBACK, RECOMMENDER_RATING_MIN and RECOMMENDER_RATING_MAX give; where none of them is
    set, between -1 and 5. With --sources lines that cannot be mapped are passed over, and counted in the end.
    """
    if table is not None and sources is None:
        raise click.UsageError("--source names a table of --sources")
    # kafka-python logs many lines a second while a broker is away; what matters is said here.
    for name in ("kafka", "recommender"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    stop = threading.Event()
    display = Display(delivery_timeout)
    try:
        settings = all_settings.load(broker=broker)
        names, scale = Topics(settings.topic_prefix), _scale(settings)
        if sources is None:
            path = locate(source, _note)
            if items and topic is None:
                _write_items(path, names.items, settings, delivery_timeout)
            found = read_events(path, unit=time_unit, scale=scale, say=_note)
        else:
            found = _mapped(source, sources, table, settings)
        topic = topic or names.ratings
        ratings, total = _choose(found, order, skip, limit)
        begun = time.monotonic()
        with _stopping(stop) as signals, display.counting(total):
            result = replaying.replay(
                ratings,
                settings.broker,
                topic,
                rate=rate,
                speed=speed,
                message_format=message_format,
                delivery_seconds=delivery_timeout,
                security=security_options(settings),
                scale=scale,
                progress=display,
                stop=stop,
            )
    except KeyboardInterrupt:
        click.echo("Stopped at once; whatever was on its way is not counted.", err=True)
        sys.exit(130)
    except RecommenderError as error:
        so_far = f" Delivered before that: {display.last.delivered:,}." if display.last.sent else ""
        raise RecommenderError(f"{error}.{so_far}" if so_far else str(error)) from None
    click.echo(
        _summary(result, f"{topic} at {settings.broker}", time.monotonic() - begun, skip, bool(signals))
    )
    if signals:
        sys.exit(128 + signals[0])
    sys.exit(1 if result.failed or not result.complete else 0)


def _note(line: str) -> None:
    click.echo(line, err=True)


def _mapped(path: str, sources: str, table: str | None, settings: Settings) -> Iterator[Event]:
    """The ratings of a dump and whom to forget, as its table maps them."""
    feedback = Feedback.parse(settings.feedback, settings.rating_min, settings.rating_max)
    mapping = mapped.mapping_of(sources, table, feedback.low, feedback.high)
    return mapped.events(path, mapping, feedback, _note)


def _write_items(path: Path, topic: str, settings: Settings, seconds: float) -> None:
    """Write titles and genres, if there are any next to the ratings; workers do without."""
    found = [
        (item, {"title": movie.title, "categories": list(movie.genres)})
        for item, movie in movies(path).items()
    ]
    if not found:
        return
    try:
        count = write_items(found, settings.broker, topic, seconds, security_options(settings))
    except TopicsError:
        _note(f"There is no topic {topic}, so titles and genres are left out.")
    else:
        _note(f"{count:,} titles with their genres are in {topic}.")


def _scale(settings: Settings) -> tuple[float, float]:
    """The scale of ratings that the settings tell of, else what is right for every feedback policy."""
    origins = all_settings.sources()
    if all(origins[name] == "default" for name in ("feedback", "rating_min", "rating_max")):
        return KNOWN_SCALE
    feedback = Feedback.parse(settings.feedback, settings.rating_min, settings.rating_max)
    return feedback.low, feedback.high


def _choose(
    ratings: Iterator[Event], order: Order, skip: int, limit: int | None
) -> tuple[Iterable[Event], int | None]:
    """The ratings to send, and how many they are where that is known before they are read."""
    stop = None if limit is None else skip + limit
    if order == "file":
        return itertools.islice(ratings, skip, stop), limit
    columns = Columns(_ratings_alone(ratings))
    columns.sort_by_time()
    end = len(columns) if stop is None else min(stop, len(columns))
    return columns.ratings(skip, end), max(end - skip, 0)


def _ratings_alone(events: Iterable[Event]) -> Iterator[Rating]:
    """Ratings; a `SourceError` if there is something else among them."""
    for number, each in enumerate(events, 1):
        if not isinstance(each, Rating):
            what = "merge" if isinstance(each, Merge) else "forget"
            raise SourceError(
                f"Rating {number} says whom to {what}, so the order of the lines matters: replay them with "
                "--order file"
            )
        yield each


def _summary(result: replaying.Result, where: str, seconds: float, skip: int, stopped: bool) -> str:
    """Summarize the replay in one or two sentences."""
    rate = result.delivered / seconds if seconds > 0 else 0.0
    counts = f"{result.delivered:,} delivered to {where}, {result.failed:,} failed"
    how = "Stopped" if stopped else "Done" if result.complete else "Gave up"
    said = f"{how} after {seconds:.1f} s, {rate:,.0f} per second: {counts}."
    if result.cause:
        said += f" The first failure: {result.cause}."
    if not result.complete:
        said += f" --skip {skip + result.resume} continues from there."
    return said


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[list[int]]:
    """Turn the first Ctrl-C into `stop`; the list then holds the signal. The second one interrupts."""
    came: list[int] = []
    before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def handle(number: int, _: FrameType | None) -> None:
        came.append(number)
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    for each in (signal.SIGINT, signal.SIGTERM):
        before[each] = signal.signal(each, handle)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
