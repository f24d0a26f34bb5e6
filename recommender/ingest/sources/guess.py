"""Proposes a table of the file from a sample of a topic: by the names of fields, and by what is in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from recommender.ingest.sources.documents import PlainReader, Reader
from recommender.ingest.sources.fields import Found, array_with, best_of, escaped, fields_of, path_to, plain
from recommender.ingest.sources.protobuf import as_dict
from recommender.ingest.sources.values import number, seconds_by
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage

USER = (
    *("userid", "user", "customerid", "customer", "memberid", "member", "visitorid", "visitor", "accountid"),
    *("account", "clientid", "uid", "personid", "profileid", "viewerid", "subject", "sessionid"),
)
ITEM = (
    *(
        "itemid",
        "item",
        "productid",
        "product",
        "sku",
        "movieid",
        "movie",
        "filmid",
        "film",
        "trackid",
        "track",
    ),
    *(
        "songid",
        "articleid",
        "article",
        "contentid",
        "content",
        "bookid",
        "book",
        "assetid",
        "listingid",
        "pid",
    ),
)
RATING = ("rating", "stars", "score", "grade", "points", "mark")
TIME = (
    *(
        "timestamp",
        "time",
        "ts",
        "eventtime",
        "ratedat",
        "occurredat",
        "createdat",
        "updatedat",
        "placedat",
        "orderedat",
        "at",
        "date",
    ),
    *("timestampms",),
)
EVENT = ("eventtype", "event", "type", "action", "kind", "eventname", "name", "verb")
DELETED = ("deleted",)
#: What events of such names mostly say of an item, on a scale from 1 to 5; others are skipped.
WEIGHTS = {
    "view": 1, "click": 1, "open": 1, "visit": 1, "read": 2, "play": 2, "watch": 2, "like": 4, "favorite": 4,
    "bookmark": 3, "save": 3, "cart": 3, "basket": 3, "wishlist": 3, "share": 4, "rent": 4, "purchase": 5,
    "buy": 5, "bought": 5, "order": 5, "transaction": 5,
}  # fmt: skip
_TAKES_BACK = ("remove", "delete", "unlike", "dislike", "return", "refund", "cancel")
#: More different values are no names of events.
_MOST_EVENTS = 50
_SHOWN = 3


class Guess:
    """A proposed table.

    Attributes
    ----------
    lines : list of str
        Of TOML, with remarks.
    missing : list of str
        What was not found: the table cannot be used without.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missing: list[str] = []

    def add(self, key: str, value: str, remark: str = "") -> None:
        """Add a line."""
        self.lines.append(f"{key} = {value}{f'  # {remark}' if remark else ''}")

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


def guess(
    topic: str, records: Sequence[Record], low: float, high: float, reader: Reader | None = None
) -> Guess:
    """Propose a table for a topic.

    Parameters
    ----------
    topic : str
    records : sequence of Record
        A sample.
    low, high : float
        The worker's scale of ratings.
    reader : Reader, optional
        Of values that have a schema.
    """
    made = Guess()
    made.lines.append(f"[{_bare(topic)}]")
    documents, packed = _documents(records, reader)
    if packed:
        made.add("format", '"msgpack"')
    rows, envelope = _unwrapped(documents, records)
    if envelope:
        made.add("envelope", f'"{envelope}"')
    fields, array = fields_of(rows), ""
    if best_of(fields, ITEM) is None:
        array, inside = array_with(rows, ITEM)
        fields |= inside
    if array:
        made.add("each", _quoted(array))
    _add_ids(made, fields, records, envelope)
    event = None if envelope == "debezium" else _event(fields)
    _add_rating(made, fields, low, high, needed=event is None and envelope != "cloudevents")
    _add_named(made, fields, "time", TIME, _is_time)
    _add_named(made, fields, "deleted", DELETED, lambda value: str(value).lower() in ("true", "false"))
    _add_events(made, topic, fields, event, records if envelope == "cloudevents" else (), low, high)
    return made


def _documents(records: Sequence[Record], schemas: Reader | None) -> tuple[list[Any], bool]:
    """The values that can be read, as what most of them are."""
    best = [] if schemas is None else _read(records, schemas)
    packed = False
    for chosen in ("auto", "msgpack"):
        found = _read(records, PlainReader(chosen))
        if len(found) > len(best):
            best, packed = found, chosen == "msgpack"
    return best, packed


def _read(records: Sequence[Record], reader: Reader) -> list[Any]:
    found = []
    for record in records:
        if record.value is not None:
            try:
                document, _ = reader.read(record)
            except BadMessage:
                continue
            document = as_dict(document) if hasattr(document, "DESCRIPTOR") else document
            if isinstance(document, dict):
                found.append(document)
    return found


def _unwrapped(documents: Sequence[Any], records: Sequence[Record]) -> tuple[list[Any], str]:
    """The rows inside an envelope, and which envelope it is."""
    payloads = [each["payload"] if isinstance(each.get("payload"), dict) else each for each in documents]
    changes = [each for each in payloads if "op" in each and ("before" in each or "after" in each)]
    if changes and 2 * len(changes) > len(documents):
        rows = [each.get("after") or each.get("before") for each in changes]
        return [each for each in rows if isinstance(each, dict)], "debezium"
    structured = [each for each in documents if "specversion" in each]
    if structured and 2 * len(structured) > len(documents):
        return [each["data"] for each in structured if isinstance(each.get("data"), dict)], "cloudevents"
    named = [
        record for record in records if any(name == "ce_specversion" for name, _ in record.headers or ())
    ]
    return list(documents), "cloudevents" if 2 * len(named) > len(records) else ""


def _add_ids(made: Guess, fields: Found, records: Sequence[Record], envelope: str) -> None:
    for key, names in (("user", USER), ("item", ITEM)):
        steps = best_of(
            fields, names, lambda value: isinstance(value, str | int) and not isinstance(value, bool)
        )
        if steps is not None:
            made.add(key, _quoted(path_to(steps)), _examples(fields[steps]))
        elif key == "user" and envelope == "cloudevents":
            made.add(key, '"@ce.subject"')
        elif key == "user" and (keys := [each.key for each in records if each.key]):
            made.add(key, '"@key"', _examples([each.decode(errors="replace") for each in keys]))
        else:
            made.missing.append(key)
            made.lines.append(f"# {key} = PATH: no field looks like it; there are {_names(fields)}")


def _add_rating(made: Guess, fields: Found, low: float, high: float, *, needed: bool) -> None:
    steps = best_of(fields, RATING, _is_number)
    if steps is None:
        if needed:
            made.add("rating", f"{(low + high) / 2 if high > 1 else high:g}", "no field looks like a rating")
        return
    made.add("rating", _quoted(path_to(steps)), _examples(fields[steps]))
    numbers = [number(each, "", None) for each in fields[steps] if each is not None]  # type: ignore[arg-type]
    if numbers and not low <= min(numbers) <= max(numbers) <= high:
        top = next((each for each in (1, 5, 10, 20, 100) if max(numbers) <= each), max(numbers))
        made.add("scale", f"[{min(0, min(numbers)):g}, {top:g}]", "seen: " + _range(numbers))


def _add_named(made: Guess, fields: Found, key: str, names: Sequence[str], fits: Any) -> None:
    steps = best_of(fields, names, fits)
    if steps is not None:
        made.add(key, _quoted(path_to(steps)), _examples(fields[steps]))


def _event(fields: Found) -> tuple[str, ...] | None:
    steps = best_of(fields, EVENT, lambda value: isinstance(value, str))
    return steps if steps is not None and len(set(fields[steps])) <= _MOST_EVENTS else None


def _add_events(
    made: Guess,
    topic: str,
    fields: Found,
    event: tuple[str, ...] | None,
    records: Sequence[Record],
    low: float,
    high: float,
) -> None:
    """The events with weights, and how often each was seen."""
    rated = best_of(fields, RATING, _is_number) is not None
    if event is not None:
        counts = Counter(str(each) for each in fields[event])
        made.add("event", _quoted(path_to(event)))
    else:
        named = [value for each in records for name, value in each.headers or () if name == "ce_type"]
        counts = Counter(each.decode(errors="replace") for each in named if each)
        if not counts:
            return
    made.lines.append(f"[{_bare(topic)}.events]")
    for name, count in counts.most_common():
        made.add(_bare(name), _weight(name, low, high, rated=rated), f"{count} times")


def _weight(name: str, low: float, high: float, *, rated: bool) -> str:
    said = plain(name)
    if any(word in said for word in _TAKES_BACK):
        return '"withdraw"'
    found = [weight for word, weight in WEIGHTS.items() if word in said]
    if found and not rated:
        return f"{min(max(max(found) * high / 5, low), high):g}"
    return '"rating"' if rated else '"skip"'


def _is_number(value: Any) -> bool:
    try:
        number(value, "", None)  # type: ignore[arg-type]
    except BadMessage:
        return False
    return True


def _is_time(value: Any) -> bool:
    """Between 1990 and 2100."""
    try:
        return 631_152_000 < seconds_by("auto")(value, "") < 4_102_444_800
    except BadMessage:
        return False


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text and "'" not in text else escaped(text)


def _bare(name: str) -> str:
    """A key of TOML."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return escaped(name)


def _examples(values: Sequence[Any]) -> str:
    shown = [str(each)[:40] for each in dict.fromkeys(map(str, values))][:_SHOWN]
    return ("such as " + ", ".join(shown)).replace("\n", " ")


def _names(fields: Found) -> str:
    return ", ".join(path_to(steps) for steps in list(fields)[:12]) or "no fields"


def _range(numbers: Sequence[float]) -> str:
    return f"{min(numbers):g} to {max(numbers):g}"
