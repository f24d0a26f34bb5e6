"""A source's mapping: how the records of one topic become ratings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from recommender.errors import RecommenderError
from recommender.ingest.sources.paths import Path


class SourcesError(RecommenderError):
    """The file of the sources has what cannot be; says where."""


class Meaning(StrEnum):
    """The meaning of an event that is no number."""

    SKIP = "skip"
    WITHDRAW = "withdraw"
    #: Take the number at the path `rating`.
    RATING = "rating"
    #: Forget the user.
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Steps:
    """A rating by how much of something was done: the highest step that is reached.

    Attributes
    ----------
    of : Path
        How much.
    per : Path, optional
        Of how much; without it `of` is taken as it is.
    at : tuple of (float, float)
        From which share on which rating, ascending; below the first the event is skipped.
    """

    of: Path
    per: Path | None
    at: tuple[tuple[float, float], ...]


EventRule = float | Meaning | Steps
#: The rule for events that are not listed.
OTHERS = "*"


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """The mapping of one topic's records to ratings.

    Attributes
    ----------
    name : str
        Of its table in the file.
    topic : str
    format : str
        ``auto``, ``json``, ``msgpack``, ``avro`` or ``protobuf``.
    envelope : str
        ``none``, ``debezium`` or ``cloudevents``.
    user, item : Path
    rating : Path or float
        A number is what every record means.
    scale : tuple of (float, float), optional
        Of the ratings that are read, mapped linearly to the worker's.
    time : Path, optional
        By default the record's timestamp; of envelopes, the time that they have.
    time_unit : str
        ``auto``, ``s``, ``ms``, ``us``, ``ns`` or ``iso``.
    each : Path, optional
        Of an array: one rating for each element.
    event : Path, optional
        Of the event's name.
    events : mapping of str to EventRule
    where : mapping of Path to frozenset
        Records whose field has none of these values are skipped.
    deleted : Path, optional
        Of what is true where a row is gone.
    forget : str
        ``user`` or ``item`` where records say who is to be forgotten, and are no ratings: each record, or of
        rows those that are gone.
    start : str or float
        ``earliest``, ``latest``, or seconds since 1970: where nothing was read yet.
    schema : str
        A file with the schema of values that do not say theirs.
    message : str
        The name of a Protobuf message, where no index says it.
    """

    name: str
    topic: str
    user: Path
    item: Path
    rating: Path | float
    format: str = "auto"
    envelope: str = "none"
    scale: tuple[float, float] | None = None
    time: Path | None = None
    time_unit: str = "auto"
    each: Path | None = None
    event: Path | None = None
    events: Mapping[str, EventRule] = field(default_factory=dict)
    where: Mapping[Path, frozenset[object]] = field(default_factory=dict)
    deleted: Path | None = None
    forget: str = ""
    start: str | float = "earliest"
    schema: str = ""
    message: str = ""

    @property
    def fingerprint(self) -> int:
        """A number of 32 bits, not 0, that is another one where the same records become other ratings."""
        parts = [
            *(self.format, self.envelope, self.user, self.item, self.rating, self.scale, self.time),
            *(self.time_unit, self.each, self.event, sorted(self.events.items(), key=lambda each: each[0])),
            sorted((str(path), sorted(map(repr, values))) for path, values in self.where.items()),
            self.deleted,
            *(each for each in (self.schema, self.message, self.forget) if each),
        ]
        text = "\0".join(repr(part) for part in parts)
        digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
        return int.from_bytes(digest, "little") or 1
