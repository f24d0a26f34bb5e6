"""Records of sources for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from recommender.ingest.sources.file import parse
from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.source_ingest import IngestedSource, SourceIngest
from recommender.messages.unreadable import Fetched

LOW, HIGH = 0.5, 5.0
STAMP = 1_700_000_000_000


def mapping(text: str, name: str = "") -> SourceMapping:
    """The only source of a text, or the one of a name."""
    found = parse(text, "sources.toml", LOW, HIGH)
    return next(each for each in found if name in ("", each.name))


def record(
    value: Any, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = (), offset: int = 0
) -> Fetched:
    """A record; what is not bytes is written as JSON."""
    raw = value if isinstance(value, bytes | None) else orjson.dumps(value)
    return Fetched("topic", 0, offset, STAMP, key, raw, headers)


def read(source: str | SourceMapping, *records: Fetched, skips: bool = False) -> IngestedSource:
    """What records of a source come to."""
    found = mapping(source) if isinstance(source, str) else source
    return SourceIngest(found, LOW, HIGH, skips=skips, clock=lambda: 1.0).read(0, records)


def ratings(ingested: IngestedSource) -> list[tuple[str, str, float | None, float]]:
    """User, item, rating (None withdraws) and time of each row."""
    rows = ingested.rows
    values = [None if each != each else each for each in rows.ratings.tolist()]
    return list(zip(rows.ids(0), rows.ids(2), values, rows.times.tolist(), strict=True))


def reason(ingested: IngestedSource) -> str:
    """Why the only record was rejected."""
    (refusal,) = ingested.refusals
    assert len(ingested.dead_letters) == 1
    return refusal.reason
