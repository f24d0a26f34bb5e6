"""The schemas of the HTTP interface: requests, ratings and answers; the limits are those of the code."""

from __future__ import annotations

from typing import Any

from recommender.messages.ratings import MAX_TIMESTAMP
from recommender.messages.requests import (
    DEFAULT_N,
    MAX_HOURS,
    MAX_N,
    MAX_REQUEST_CATEGORIES,
    MAX_REQUEST_ITEMS,
    MAX_TIMES,
    WINDOW,
)

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """A reference to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def object_of(properties: Schema, *required: str, about: str = "") -> Schema:
    """An object with these properties, of which some are required."""
    made: Schema = {"type": "object", "properties": properties}
    if required:
        made["required"] = list(required)
    return {**made, "description": about} if about else made


def or_null(schema: Schema) -> Schema:
    """A schema, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


ID: Schema = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 256}, {"type": "integer"}],
    "description": "A text of at most 256 bytes of UTF-8; an integer means its decimal text.",
}
OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
PARTITION: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
ITEMS: Schema = {"type": "array", "items": ref("Id"), "maxItems": MAX_REQUEST_ITEMS}
CATEGORIES: Schema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 256},
    "maxItems": MAX_REQUEST_CATEGORIES,
}
NUMBER: Schema = or_null({"type": "number"})
FLAG: Schema = {"type": "boolean", "default": False}
N: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": DEFAULT_N}
EXPLORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
HIDE_SEEN: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_TIMES}
HIDE_SEEN_FOR: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_HOURS}

_FIELDS: Schema = {
    "user": ref("Id"),
    "similar_to": ref("Id"),
    "n": N,
    "items": {**ITEMS, "description": "The candidates; default: every item."},
    "exclude": ITEMS,
    "include_rated": FLAG,
    "after": {
        "anyOf": [OFFSET, ref("After")],
        "description": "Answer only once this rating is learned.",
    },
    "arm": {"type": "string", "minLength": 1, "maxLength": 256},
    "explain": FLAG,
    "explore": EXPLORE,
    "categories": CATEGORIES,
    "not_categories": CATEGORIES,
    "titles": FLAG,
    "history": {
        "type": "array",
        "maxItems": MAX_REQUEST_ITEMS,
        "items": {"anyOf": [ref("Id"), object_of({"item": ref("Id"), "rating": NUMBER}, "item")]},
        "description": "What a guest has liked, the oldest first; nothing of it is stored.",
    },
    "popular": FLAG,
    "window": {"type": "string", "pattern": WINDOW, "description": "With popular: hours or days, as 24h."},
    "hide_seen": {
        **HIDE_SEEN,
        "description": "Leave out what the user was shown so often and has not rated.",
    },
    "hide_seen_for": {**HIDE_SEEN_FOR, "description": "What was shown in this many hours up to now counts."},
}
REQUEST = {
    **object_of(
        {name: or_null(schema) for name, schema in _FIELDS.items()},
        about="As on the topic of requests; a field that is null is left out, and others are ignored.",
    ),
    "anyOf": [{"required": [name]} for name in ("user", "similar_to", "history", "popular")],
}
AFTER = {
    "oneOf": [
        object_of({"partition": PARTITION, "offset": OFFSET}, "partition", "offset"),
        object_of({"journal": OFFSET}, "journal"),
    ]
}


def rating(low: float, high: float, *, skips: bool) -> Schema:
    """A rating on the worker's scale."""
    values: list[Schema] = [{"type": "number", "minimum": low, "maximum": high}, {"type": "null"}]
    if skips:
        values.append({"const": "skip"})
    return object_of(
        {
            "user": ref("Id"),
            "item": ref("Id"),
            "rating": {"anyOf": values, "description": "Null withdraws an earlier rating."},
            "timestamp": or_null({"type": "number", "minimum": 0, "maximum": MAX_TIMESTAMP}),
        },
        *("user", "item", "rating"),
    )


PLACE = object_of(
    {
        "item": {"type": "string"},
        "score": {"type": "number"},
        "source": {"enum": ["exploit", "explore"]},
        "neighbours": {"type": "integer"},
        "because": {
            "type": "array",
            "items": object_of({"item": {"type": "string"}, "share": {"type": "number"}}, "item", "share"),
        },
        "cold_start": {"type": "boolean"},
        "boost": {"type": "number"},
        "title": {"type": "string"},
    },
    *("item", "score", "source"),
)
RESPONSE = object_of(
    {
        "ok": {"const": True},
        "user": or_null({"type": "string"}),
        "items": {"type": "array", "items": ref("Place")},
        "model": {"type": "string"},
        "arm": {"type": "string"},
        "cold_start": {"type": "boolean"},
        "as_of": object_of(
            {name: {"type": "integer", "minimum": -1} for name in ("partition", "offset", "journal")},
            *("partition", "offset", "journal"),
        ),
        "forced": {"type": "boolean"},
        "explained": {"type": "boolean"},
        "fewer": {"type": "string"},
    },
    *("ok", "user", "items", "model", "arm", "cold_start", "as_of"),
)
WRITTEN = object_of(
    {
        "ok": {"const": True},
        "written": {
            "type": "array",
            "items": object_of({"partition": PARTITION, "offset": OFFSET}, "partition", "offset"),
            "description": "Where each rating is, in their order; `after` of a request takes one of these.",
        },
    },
    *("ok", "written"),
)
FAILURE = object_of(
    {
        "ok": {"const": False},
        "error": object_of(
            {"code": {"type": "string"}, "message": {"type": "string"}, "retriable": {"type": "boolean"}},
            *("code", "message", "retriable"),
        ),
    },
    *("ok", "error"),
)

#: All that is known of a user or an item goes.
FORGET: Schema = {
    "type": "object",
    "description": "Forget a user, or an item: as if there had never been one",
    "properties": {
        "forget": {"const": True},
        "timestamp": {"type": ["number", "null"], "minimum": 0, "maximum": MAX_TIMESTAMP},
    },
    "required": ["forget"],
    "oneOf": [
        {
            "required": [named],
            "properties": {named: {"$ref": "#/components/schemas/Id"}, other: {"type": "null"}},
        }
        for named, other in (("user", "item"), ("item", "user"))
    ],
}
#: A guest's ratings become a user's.
MERGE: Schema = {
    "type": "object",
    "description": "A guest turned out to be a user, who gets the guest's ratings",
    "properties": {
        "user": {"$ref": "#/components/schemas/Id"},
        "merge": {"$ref": "#/components/schemas/Id"},
        "timestamp": {"type": ["number", "null"], "minimum": 0, "maximum": MAX_TIMESTAMP},
    },
    "required": ["user", "merge"],
}
