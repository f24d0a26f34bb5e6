"""Tables of the file of the sources whose records say what users were shown: ``kind = "impressions"``."""

from __future__ import annotations

from dataclasses import replace

from recommender.ingest.sources.file import RatingsTable
from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.tables import IMPRESSIONS, require_different, tables_of

#: Values with a schema would need a registry at each start, of all workers.
FORMATS = ("auto", "json", "msgpack")
#: An impression is an event and no row.
ENVELOPES = ("none", "cloudevents")
KEYS = ("kind", "topic", "format", "envelope", "user", "item", "each", "time", "time_unit", "where")
#: All ratings that a record gives mean the same: that something was shown.
SHOWN = 1.0


def parse(text: str, name: str) -> list[SourceMapping]:
    """Read the sources of impressions in a text of TOML; `name` is what errors call the file.

    Each is mapped as ratings are, of which only user, item and time mean something.

    Raises
    ------
    SourcesError
        Something in it cannot be; names the file, the table and the nearest key.
    """
    tables = [ImpressionsTable(name, *each, (SHOWN, SHOWN)) for each in tables_of(text, name).items()]
    found = [each.impressions_mapping() for each in tables if each.kind == IMPRESSIONS]
    require_different(name, ((each.topic, each.name) for each in found))
    return found


class ImpressionsTable(RatingsTable):
    """One table whose records say what users were shown."""

    def impressions_mapping(self) -> SourceMapping:
        """The mapping that the table describes."""
        self._require_known(self._content, KEYS)
        self._choice("format", FORMATS)
        self._choice("envelope", ENVELOPES)
        return replace(self.mapping(), rating=SHOWN)
