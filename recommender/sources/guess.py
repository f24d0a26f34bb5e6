"""Proposes a table of the file from a sample of a topic: by the names of fields, and by what is in them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage
from recommender.sources.documents import PlainReader
from recommender.sources.values import number, seconds_by

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

Found = dict[tuple[str, ...], list[Any]]


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


def guess(topic: str, records: Sequence[Record], low: float, high: float) -> Guess:
    """Propose a table for a topic.

    Parameters
    ----------
    topic : str
    records : sequence of Record
        A sample.
    low, high : float
        The worker's scale of ratings.
    """
    made = Guess()
    made.lines.append(f"[{_bare(topic)}]")
    documents, packed = _documents(records)
    if packed:
        made.add("format", '"msgpack"')
    rows, envelope = _unwrapped(documents, records)
    if envelope:
        made.add("envelope", f'"{envelope}"')
    fields, array = _fields(rows), ""
    if _best(fields, ITEM) is None:
        array, inside = _array(rows)
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


def _documents(records: Sequence[Record]) -> tuple[list[Any], bool]:
    """The values that can be read, as what most of them are."""
    best: list[Any] = []
    packed = False
    for chosen in ("auto", "msgpack"):
        reader, found = PlainReader(chosen), []
        for record in records:
            if record.value is not None:
                try:
                    document, _ = reader.read(record)
                except BadMessage:
                    continue
                if isinstance(document, dict):
                    found.append(document)
        if len(found) > len(best):
            best, packed = found, chosen == "msgpack"
    return best, packed


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


def _fields(rows: Iterable[Mapping[str, Any]], root: str = "") -> Found:
    """By their paths, the values of fields that are neither objects nor arrays."""
    found: Found = defaultdict(list)

    def walk(value: Mapping[str, Any], steps: tuple[str, ...]) -> None:
        for name, inside in value.items():
            if isinstance(inside, dict) and len(steps) < 6:
                walk(inside, (*steps, name))
            elif not isinstance(inside, dict | list):
                found[(*steps, name)].append(inside)

    for row in rows:
        walk(row, (root,) if root else ())
    return dict(found)


def _array(rows: Sequence[Mapping[str, Any]]) -> tuple[str, Found]:
    """The array of objects that has an item in each, and the fields of its elements."""
    arrays: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if isinstance(value, list):
                arrays[name] += [each for each in value if isinstance(each, dict)]
    for name, elements in arrays.items():
        inside = _fields(elements, ".")
        if _best(inside, ITEM) is not None:
            return name, inside
    return "", {}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _best(fields: Found, names: Sequence[str], fits: Any = lambda value: True) -> tuple[str, ...] | None:
    """The field whose name comes first among these; of equal ones the outermost."""
    best: tuple[tuple[int, int, int], tuple[str, ...]] | None = None
    for steps, values in fields.items():
        present = [each for each in values if each is not None]
        if not present or not all(map(fits, present)):
            continue
        for rank, name in enumerate(_spellings(steps)):
            if name in names:
                mark = (rank, names.index(name), len(steps)), steps
                best = mark if best is None or mark < best else best
    return None if best is None else best[1]


def _spellings(steps: tuple[str, ...]) -> Iterator[str]:
    """What a path may be called: ``userid`` for ``user.id``, and its last name."""
    last = _plain(steps[-1])
    if len(steps) > 1 and last in ("id", "key", "sku", "name", "uuid", "code", "type"):
        yield _plain(steps[-2]) + last
        yield _plain(steps[-2])
    yield last


def _add_ids(made: Guess, fields: Found, records: Sequence[Record], envelope: str) -> None:
    for key, names in (("user", USER), ("item", ITEM)):
        steps = _best(
            fields, names, lambda value: isinstance(value, str | int) and not isinstance(value, bool)
        )
        if steps is not None:
            made.add(key, _quoted(_path(steps)), _examples(fields[steps]))
        elif key == "user" and envelope == "cloudevents":
            made.add(key, '"@ce.subject"')
        elif key == "user" and (keys := [each.key for each in records if each.key]):
            made.add(key, '"@key"', _examples([each.decode(errors="replace") for each in keys]))
        else:
            made.missing.append(key)
            made.lines.append(f"# {key} = PATH: no field looks like it; there are {_names(fields)}")


def _add_rating(made: Guess, fields: Found, low: float, high: float, *, needed: bool) -> None:
    steps = _best(fields, RATING, _is_number)
    if steps is None:
        if needed:
            made.add("rating", f"{(low + high) / 2 if high > 1 else high:g}", "no field looks like a rating")
        return
    made.add("rating", _quoted(_path(steps)), _examples(fields[steps]))
    numbers = [number(each, "", None) for each in fields[steps] if each is not None]  # type: ignore[arg-type]
    if numbers and not low <= min(numbers) <= max(numbers) <= high:
        top = next((each for each in (1, 5, 10, 20, 100) if max(numbers) <= each), max(numbers))
        made.add("scale", f"[{min(0, min(numbers)):g}, {top:g}]", "seen: " + _range(numbers))


def _add_named(made: Guess, fields: Found, key: str, names: Sequence[str], fits: Any) -> None:
    steps = _best(fields, names, fits)
    if steps is not None:
        made.add(key, _quoted(_path(steps)), _examples(fields[steps]))


def _event(fields: Found) -> tuple[str, ...] | None:
    steps = _best(fields, EVENT, lambda value: isinstance(value, str))
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
    rated = _best(fields, RATING, _is_number) is not None
    if event is not None:
        counts = Counter(str(each) for each in fields[event])
        made.add("event", _quoted(_path(event)))
    else:
        named = [value for each in records for name, value in each.headers or () if name == "ce_type"]
        counts = Counter(each.decode(errors="replace") for each in named if each)
        if not counts:
            return
    made.lines.append(f"[{_bare(topic)}.events]")
    for name, count in counts.most_common():
        made.add(_bare(name), _weight(name, low, high, rated=rated), f"{count} times")


def _weight(name: str, low: float, high: float, *, rated: bool) -> str:
    plain = _plain(name)
    if any(word in plain for word in _TAKES_BACK):
        return '"withdraw"'
    found = [weight for word, weight in WEIGHTS.items() if word in plain]
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


def _path(steps: tuple[str, ...]) -> str:
    relative = steps[0] == "."
    names = [each if re.fullmatch(r"[^.\"\s@]+", each) else _escaped(each) for each in steps[relative:]]
    return "." * relative + ".".join(names)


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text and "'" not in text else _escaped(text)


def _escaped(text: str) -> str:
    """A text in double quotes, as JSON, TOML and paths have it."""
    return msgspec.json.encode(text).decode()


def _bare(name: str) -> str:
    """A key of TOML."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return _escaped(name)


def _examples(values: Sequence[Any]) -> str:
    shown = [str(each)[:40] for each in dict.fromkeys(map(str, values))][:_SHOWN]
    return ("such as " + ", ".join(shown)).replace("\n", " ")


def _names(fields: Found) -> str:
    return ", ".join(_path(steps) for steps in list(fields)[:12]) or "no fields"


def _range(numbers: Sequence[float]) -> str:
    return f"{min(numbers):g} to {max(numbers):g}"
