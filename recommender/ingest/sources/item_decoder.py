"""Decodes a record of a source to what is known of an item."""

from __future__ import annotations

import math
from typing import Any

from recommender.ingest.sources.documents import PlainReader
from recommender.ingest.sources.envelopes import IDENTITY, open_debezium
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.outcomes import Skip, SkipReason
from recommender.ingest.sources.paths import KEY, VALUE, Path
from recommender.ingest.sources.values import ABSENT, described, identifier, is_true, number, seconds_by
from recommender.ingest.sources.views import View, step_into
from recommender.messages.items import MAX_BOOST, MAX_CATEGORIES, MAX_TITLE, MIN_BOOST, ItemInfo
from recommender.messages.ratings import MAX_ID_BYTES
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind

Said = tuple[str, ItemInfo | None]


class ItemDecoder:
    """Decodes records of one source of items.

    Parameters
    ----------
    mapping : ItemsMapping
    """

    def __init__(self, mapping: ItemsMapping) -> None:
        self.mapping = mapping
        self._reader = PlainReader(mapping.format)
        self._seconds = seconds_by(mapping.time_unit)

    def decode(self, record: Record) -> list[Said]:
        """The items that a record is about: one, and the one that it was before; None if an item is gone.

        Raises
        ------
        Skip
            It says nothing, and nothing is wrong with it.
        BadMessage
            Something is wrong with it.
        """
        try:
            return self._decode(record)
        except BadMessage as error:
            raise BadMessage(f"{error} of source `{self.mapping.name}`", error.kind) from None

    def _decode(self, record: Record) -> list[Said]:
        mapping = self.mapping
        if record.value is None:
            if mapping.item.root != KEY:
                raise Skip(SkipReason.NULL_VALUE)
            return [(self._item(View(record, mapping.topic, None, step_into)), None)]
        document, step = self._reader.read(record)
        view = View(record, mapping.topic, document, step)
        if mapping.envelope == "debezium":
            return self._changed(view)
        if document.__class__ is not dict:
            raise BadMessage(f"Expected `object`, got `{described(document)}`", Kind.NOT_AN_OBJECT)
        return [self._said(view)]

    def _changed(self, view: View) -> list[Said]:
        """The items of a change: an item is gone with its row, and where the row became another item's."""
        change = open_debezium(view)
        before, gone = change.before, None
        if before is not None:
            view.document = before
            found = view.at(self.mapping.item)
            gone = None if found is ABSENT or found is None else self._item(view)
        if change.after is None:
            if gone is None:
                told = f"Object missing required field - at `{self.mapping.item}`: {IDENTITY}"
                raise BadMessage(told, Kind.MISSING_FIELD)
            return [(gone, None)]
        view.document = change.after
        said = self._said(view)
        return [said] if gone is None or gone == said[0] else [(gone, None), said]

    def _said(self, view: View) -> Said:
        mapping = self.mapping
        for path, values in mapping.where.items():
            found = view.at(path)
            if found.__class__ in (dict, list) or (found.__class__ is bool, found) not in values:
                raise Skip(SkipReason.WHERE)
        item = self._item(view)
        if mapping.deleted is not None and is_true(view.at(mapping.deleted)):
            return item, None
        return item, ItemInfo(
            title=self._title(view),
            available=self._available(view),
            categories=self._categories(view),
            until=self._until(view),
            boost=self._boost(view),
        )

    def _item(self, view: View) -> str:
        return identifier(view.at(self.mapping.item), str(self.mapping.item), Kind.BAD_ITEM)

    def _title(self, view: View) -> str | None:
        found, path = _at(view, self.mapping.title)
        if found is None:
            return None
        title = _text(found, path)
        if len(title) > MAX_TITLE:
            raise BadMessage(f"Expected `str` of length <= {MAX_TITLE} - at `{path}`", Kind.BAD_FIELD)
        return title

    def _available(self, view: View) -> bool:
        """The availability by a flag, or by how many there are."""
        found, path = _at(view, self.mapping.available)
        if found is None or found.__class__ is bool:
            return found is not False
        if isinstance(found, str) and not found[:1].isdigit() and found[:1] not in ("-", "+", "."):
            return is_true(found)
        return number(found, path, Kind.BAD_FIELD) > 0

    def _categories(self, view: View) -> tuple[str, ...]:
        found, path = _at(view, self.mapping.categories)
        if found is None:
            return ()
        each = found if isinstance(found, list | tuple) else [found]
        names = {_text(name, f"{path}[{place}]") for place, name in enumerate(each)}
        if len(names) > MAX_CATEGORIES:
            raise BadMessage(f"Expected `array` of length <= {MAX_CATEGORIES} - at `{path}`", Kind.BAD_FIELD)
        for name in names:
            if not 1 <= len(name.encode(errors="replace")) <= MAX_ID_BYTES:
                told = f"expected categories of 1 to {MAX_ID_BYTES} bytes - at `{path}`"
                raise BadMessage(told, Kind.BAD_FIELD)
        return tuple(sorted(names))

    def _until(self, view: View) -> float:
        found, path = _at(view, self.mapping.until)
        return math.inf if found is None else self._seconds(found, path)

    def _boost(self, view: View) -> float:
        found, path = _at(view, self.mapping.boost)
        if found is None:
            return 1.0
        boost = number(found, path, Kind.BAD_FIELD)
        if not MIN_BOOST <= boost <= MAX_BOOST:
            told = f"Expected a boost from {MIN_BOOST:g} to {MAX_BOOST:g}, got {boost:g} - at `{path}`"
            raise BadMessage(told, Kind.BAD_FIELD)
        return boost


def _at(view: View, path: Path | None) -> tuple[Any, str]:
    """The value at a path, None for nothing, and its name in errors."""
    if path is None:
        return None, ""
    found = view.at(path)
    return None if found is ABSENT else found, path.within("$") if path.root == VALUE else str(path)


def _text(found: Any, path: str) -> str:
    if found.__class__ is int:
        return str(found)
    if not isinstance(found, str):
        raise BadMessage(f"Expected `str`, got `{described(found)}` - at `{path}`", Kind.BAD_FIELD)
    return found
