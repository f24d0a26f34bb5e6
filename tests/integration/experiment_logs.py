"""A recommendations log and a journal with ratings, and the report that is made of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from recommender.journal.block import Packer, Source
from recommender.journal.fingerprint import fingerprint
from recommender.kafka.topics import Topics, ensure
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from recommender.shard.arms import Arms
from tests.support.commands import Ended, run_command
from tests.support.kafka import Record, create_topics, produce
from tests.unit.journal.blocks import TOPIC, Row, columns

START = 1_700_000_000
DAY = 86_400
Rated = tuple[str, str, float | None, float]
Rate = Callable[[Sequence[Rated]], None]
Report = Callable[..., Ended]


def make_topics(kafka: str, prefix: str) -> Topics:
    """Create a journal of two partitions, and a recommendations log of three."""
    made = Topics(prefix)
    create_topics(kafka, made.recommendations, partitions=3)
    ensure(kafka, made, 2, journal_partitions=2)
    return made


def rating_into(kafka: str, topics: Topics) -> Rate:
    """A function that writes ratings into the journal as workers do, some blocks twice."""
    offset = 0
    packer = Packer(Source(TOPIC, 0), fingerprint(0.5, 5.0, skips=False), 2)

    def write(ratings: Sequence[Rated]) -> None:
        nonlocal offset
        rows, offsets = columns([Row(place, *each) for place, each in enumerate(ratings, offset)])
        blocks: list[Record] = []
        for _, values in packer.pack_range(offset, offset + len(ratings), rows, offsets):
            blocks += [Record(value, partition=partition) for partition, value in enumerate(values)]
        offset += len(ratings)
        produce(kafka, topics.journal, blocks + blocks[-2:])

    return write


def report_of(kafka: str, prefix: str) -> Report:
    """A function that runs ``recommender experiment report`` to its end."""

    def run(*arguments: object, broker: str = kafka, **environment: str) -> Ended:
        settings = {"RECOMMENDER_BROKER": broker, "RECOMMENDER_TOPIC_PREFIX": prefix, "COLUMNS": "80"}
        return run_command("experiment", "report", *arguments, **settings | environment)

    return run


def shown(
    user: str,
    request: str,
    arm: str,
    time: float,
    items: list[str],
    name: str = "default",
    forced: bool = False,
) -> Record:
    """A record of the log: a list that a user was shown."""
    sources = ["exploit", "exploit", "explore"]
    places = [
        LoggedPlace(item, source, position)
        for position, (item, source) in enumerate(zip(items, sources, strict=False))
    ]
    logged = LoggedRecommendation(user, request, name, arm, f"{arm}-model", time, places, forced)
    return Record(logged.encode())


def simulated(days: range, seed: int = 1) -> tuple[list[Record], list[Rated], dict[str, list[int]]]:
    """Recommendations, ratings, and by arm how many were rated and how many of those positively.

    Each user sees a list a day and rates its items within two hours; arm b pleases more often.
    """
    draw, arms = random.Random(f"{seed} {days}"), Arms.parse("a:1,b:1")
    lists: list[Record] = []
    ratings: list[Rated] = []
    expected = {"a": [0, 0], "b": [0, 0]}
    for day in days:
        for user in (f"u{number}" for number in range(60)):
            arm, time = arms.arm_of(user), START + day * DAY + draw.randrange(3600)
            items = [f"{day}-{place}" for place in range(3)]
            lists.append(shown(user, f"{user}-{day}", arm, time, items))
            for item in items:
                liked = draw.random() < (0.8 if arm == "b" else 0.4)
                ratings.append((user, item, 5.0 if liked else 2.0, time + draw.randrange(1, 7200)))
                expected[arm][0] += 1
                expected[arm][1] += liked
    return lists, ratings, expected
