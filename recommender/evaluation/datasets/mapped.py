"""Reads a dump of a source's topic, the value of a record on each line, as its table maps them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from recommender.evaluation.datasets.lines import opened
from recommender.history.rows import FORGET_USER
from recommender.ingest.sources import file as sources_file
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.ingest.sources.source_ingest import IngestedSource, SourceIngest
from recommender.messages.ratings import Event, Forget, Rating
from recommender.messages.unreadable import Fetched
from recommender.shard.feedback import Feedback

_RUN = 1000
Say = Callable[[str], None]


def mapping_of(sources: str, name: str | None, low: float, high: float) -> SourceMapping:
    """The table of a name in a file of sources; without a name the only one.

    Raises
    ------
    SourcesError
        There is no such table, or it cannot be.
    """
    found = {each.name: each for each in sources_file.load(sources, low, high, "--sources")}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name not in found:
        told = "--source is missing" if name is None else f"--source has value {name!r}"
        raise SourcesError(f"{told}: expected one of {', '.join(found)}")
    return found[name]


def read(path: str | Path, mapping: SourceMapping, feedback: Feedback, say: Say) -> Iterator[Rating]:
    """The ratings of a dump, in the order of its lines; whom to forget is passed over.

    Parameters, and what is raised, are those of `events`.
    """
    return (each for each in events(path, mapping, feedback, say) if isinstance(each, Rating))


def events(path: str | Path, mapping: SourceMapping, feedback: Feedback, say: Say) -> Iterator[Event]:
    """The ratings of a dump and whom to forget, in the order of its lines.

    Parameters
    ----------
    path : str or Path
        Lines of JSON; ``.gz`` is read through gzip.
    mapping : SourceMapping
    feedback : Feedback
        Whose scale the ratings are on.
    say : callable
        Told in the end what was passed over and rejected: a dump is tried, not replayed.

    Raises
    ------
    SourceError
        The file cannot be read.
    """
    ingest = SourceIngest(mapping, feedback.low, feedback.high, skips=feedback.skips, clock=lambda: math.nan)
    skipped: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    first: dict[str, int] = {}
    with opened(Path(path)) as lines:
        records = (
            Fetched(mapping.topic, 0, number, -1, None, text.strip().encode(), ())
            for number, text in lines
            if text.strip()
        )
        while run := list(islice(records, _RUN)):
            ingested = ingest.read(0, run)
            skipped.update({str(reason): count for reason, count in ingested.passed.items() if count})
            for each in ingested.refusals:
                first.setdefault(each.reason, each.offset)
                rejected[each.reason] += 1
            yield from _events(ingested)
    if skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.most_common())
        say(f"{path}: {skipped.total():,} records are skipped: {reasons}")
    if rejected:
        reasons = "; ".join(
            f"{count:,} times {reason}, first on line {first[reason]}"
            for reason, count in rejected.most_common(3)
        )
        say(f"{path}: {rejected.total():,} records are rejected: {reasons}")


def _events(ingested: IngestedSource) -> Iterator[Event]:
    rows = ingested.rows
    kinds = dict(rows.others())
    columns = rows.ids(0), rows.ids(2), rows.ratings.tolist(), rows.times.tolist()
    for place, (user, item, rating, time) in enumerate(zip(*columns, strict=True)):
        when, kind = None if time != time else time, kinds.get(place)
        if kind is None:
            yield Rating(user, item, None if rating != rating else rating, when)
        elif kind == FORGET_USER:
            yield Forget(user, None, when)
        else:
            yield Forget(None, item, when)
