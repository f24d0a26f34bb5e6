"""Tables of the file of the sources whose records are about items: those with ``kind = "items"``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from recommender.ingest.sources.file import UNITS
from recommender.ingest.sources.paths import ELEMENT, KEY, Path
from recommender.ingest.sources.tables import ITEMS, Table, require_different, tables_of

#: Values with a schema would need a registry at each start, of all workers.
FORMATS = ("auto", "json", "msgpack")
ENVELOPES = ("none", "debezium")
PATHS = ("title", "available", "categories", "until", "boost", "deleted")
KEYS = ("kind", "topic", "format", "envelope", "item", *PATHS, "time_unit", "where")
_NO_SCALE = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ItemsMapping:
    """The mapping of one topic's records to what is known of items.

    Attributes
    ----------
    name, topic : str
    item : Path
        By default the record's key.
    title, available, categories, until, boost, deleted : Path or None
        Of what is said; None: nothing is.
    format : str
        ``auto``, ``json`` or ``msgpack``.
    envelope : str
        ``none`` or ``debezium``.
    time_unit : str
        Of `until`.
    where : mapping of Path to frozenset
        Records whose field has none of these values are skipped.
    """

    name: str
    topic: str
    item: Path
    title: Path | None = None
    available: Path | None = None
    categories: Path | None = None
    until: Path | None = None
    boost: Path | None = None
    deleted: Path | None = None
    format: str = "auto"
    envelope: str = "none"
    time_unit: str = "auto"
    where: Mapping[Path, frozenset[object]] = field(default_factory=dict)


def parse(text: str, name: str) -> list[ItemsMapping]:
    """Read the sources of items in a text of TOML; `name` is what errors call the file.

    Raises
    ------
    SourcesError
        Something in it cannot be; names the file, the table and the nearest key.
    """
    tables = [ItemsTable(name, *each, _NO_SCALE) for each in tables_of(text, name).items()]
    found = [each.items_mapping() for each in tables if each.kind == ITEMS]
    require_different(name, ((each.topic, each.name) for each in found))
    return found


class ItemsTable(Table):
    """One table whose records are about items."""

    def items_mapping(self) -> ItemsMapping:
        """The mapping that the table describes."""
        self._require_known(self._content, KEYS)
        paths = {key: self._path(key) for key in PATHS}
        item, where = self._path("item") or Path(KEY, ()), self._where()
        for key, path in {"item": item, **paths, **{f"where {each}": each for each in where}}.items():
            if path is not None and path.root == ELEMENT:
                raise self._error(f"{key} begins with a dot: a record is one item")
        if not any(paths.values()):
            raise self._error(f"it says nothing of an item: expected one of {', '.join(PATHS)}")
        return ItemsMapping(
            name=self._name,
            topic=self._text("topic") or self._name,
            item=item,
            format=self._choice("format", FORMATS),
            envelope=self._choice("envelope", ENVELOPES),
            time_unit=self._choice("time_unit", UNITS),
            where=where,
            **paths,
        )
