"""The HTTP interface as an OpenAPI document; the limits are those of the code."""

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
from recommender.web.limits import MAX_RATINGS

Schema = dict[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, *required: str, about: str = "") -> Schema:
    made: Schema = {"type": "object", "properties": properties}
    if required:
        made["required"] = list(required)
    return {**made, "description": about} if about else made


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


ID: Schema = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 256}, {"type": "integer"}],
    "description": "A text of at most 256 bytes of UTF-8; an integer means its decimal text.",
}
OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
PARTITION: Schema = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
ITEMS: Schema = {"type": "array", "items": _ref("Id"), "maxItems": MAX_REQUEST_ITEMS}
CATEGORIES: Schema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 256},
    "maxItems": MAX_REQUEST_CATEGORIES,
}
NUMBER: Schema = _or_null({"type": "number"})
FLAG: Schema = {"type": "boolean", "default": False}
N: Schema = {"type": "integer", "minimum": 1, "maximum": MAX_N, "default": DEFAULT_N}
EXPLORE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
HIDE_SEEN: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_TIMES}
HIDE_SEEN_FOR: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": MAX_HOURS}

_FIELDS: Schema = {
    "user": _ref("Id"),
    "similar_to": _ref("Id"),
    "n": N,
    "items": {**ITEMS, "description": "The candidates; default: every item."},
    "exclude": ITEMS,
    "include_rated": FLAG,
    "after": {
        "anyOf": [OFFSET, _ref("After")],
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
        "items": {"anyOf": [_ref("Id"), _object({"item": _ref("Id"), "rating": NUMBER}, "item")]},
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
    **_object(
        {name: _or_null(schema) for name, schema in _FIELDS.items()},
        about="As on the topic of requests; a field that is null is left out, and others are ignored.",
    ),
    "anyOf": [{"required": [name]} for name in ("user", "similar_to", "history", "popular")],
}
AFTER = {
    "oneOf": [
        _object({"partition": PARTITION, "offset": OFFSET}, "partition", "offset"),
        _object({"journal": OFFSET}, "journal"),
    ]
}


def _rating(low: float, high: float, *, skips: bool) -> Schema:
    values: list[Schema] = [{"type": "number", "minimum": low, "maximum": high}, {"type": "null"}]
    if skips:
        values.append({"const": "skip"})
    return _object(
        {
            "user": _ref("Id"),
            "item": _ref("Id"),
            "rating": {"anyOf": values, "description": "Null withdraws an earlier rating."},
            "timestamp": _or_null({"type": "number", "minimum": 0, "maximum": MAX_TIMESTAMP}),
        },
        *("user", "item", "rating"),
    )


PLACE = _object(
    {
        "item": {"type": "string"},
        "score": {"type": "number"},
        "source": {"enum": ["exploit", "explore"]},
        "neighbours": {"type": "integer"},
        "because": {
            "type": "array",
            "items": _object({"item": {"type": "string"}, "share": {"type": "number"}}, "item", "share"),
        },
        "cold_start": {"type": "boolean"},
        "boost": {"type": "number"},
        "title": {"type": "string"},
    },
    *("item", "score", "source"),
)
RESPONSE = _object(
    {
        "ok": {"const": True},
        "user": _or_null({"type": "string"}),
        "items": {"type": "array", "items": _ref("Place")},
        "model": {"type": "string"},
        "arm": {"type": "string"},
        "cold_start": {"type": "boolean"},
        "as_of": _object(
            {name: {"type": "integer", "minimum": -1} for name in ("partition", "offset", "journal")},
            *("partition", "offset", "journal"),
        ),
        "forced": {"type": "boolean"},
        "explained": {"type": "boolean"},
        "fewer": {"type": "string"},
    },
    *("ok", "user", "items", "model", "arm", "cold_start", "as_of"),
)
WRITTEN = _object(
    {
        "ok": {"const": True},
        "written": {
            "type": "array",
            "items": _object({"partition": PARTITION, "offset": OFFSET}, "partition", "offset"),
            "description": "Where each rating is, in their order; `after` of a request takes one of these.",
        },
    },
    *("ok", "written"),
)
FAILURE = _object(
    {
        "ok": {"const": False},
        "error": _object(
            {"code": {"type": "string"}, "message": {"type": "string"}, "retriable": {"type": "boolean"}},
            *("code", "message", "retriable"),
        ),
    },
    *("ok", "error"),
)

#: What each status means; the body names the code.
FAILURES = {
    "400": "The request is not what it should be; the message names the field",
    "401": "The token is missing or wrong",
    "403": "Another site's page called, or this worker is not open to calls from the network",
    "408": "The body did not come in time",
    "413": "The body is too long",
    "415": "The body is compressed or of another content type",
    "500": "A fault of the worker",
    "502": "Kafka refused a rating",
    "503": "Not now: what `after` names is not learned yet, the worker has just started, or Kafka is away",
    "504": "The deadline passed, or the worker that knows the user did not answer",
}


def _content(name: str) -> Schema:
    return {"application/json": {"schema": _ref(name)}}


def _responses(name: str, about: str) -> Schema:
    failures = {
        status: {"description": text, "content": _content("Failure")} for status, text in FAILURES.items()
    }
    return {"200": {"description": about, "content": _content(name)}, **failures}


def _query(name: str, schema: Schema, about: str = "", *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": about}


_TEXT = {"type": "string", "minLength": 1, "maxLength": 256}
_OPTIONS = [
    _query("n", N, "How many items"),
    _query("exclude", {"type": "array", "items": _TEXT}, "Never recommend these; repeat it for more"),
    _query("items", {"type": "array", "items": _TEXT}, "The candidates; repeat it for more"),
    _query("categories", CATEGORIES, "Only items of at least one of these; repeat it for more"),
    _query("not_categories", CATEGORIES, "No items of any of these; repeat it for more"),
    _query("titles", FLAG, "Say what the items are called"),
    _query("arm", _TEXT, "Answer with this arm of an experiment"),
    _query(
        "after",
        {"type": "string", "pattern": r"^((\d{1,9}|journal):)?\d{1,18}$"},
        "PARTITION:OFFSET, journal:OFFSET, or an offset: answer once that is learned",
    ),
]
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
_HEADERS = [
    {
        "name": "deadline-ms",
        "in": "header",
        "schema": {"type": "string", "pattern": r"^\d{1,16}$"},
        "description": "No answer is wanted after this moment, in milliseconds since 1970",
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "schema": {"type": "string"},
        "description": "Names the request in the recommendations log; exploration draws by it",
    },
]
_USERS = [
    _query("user", _TEXT, "Whom to recommend to; or history, or popular"),
    _query(
        "history", {"type": "array", "items": _TEXT}, "Items of a guest, the oldest first; repeat it for more"
    ),
    _query("popular", FLAG, "The popular items"),
    _query("window", {"type": "string", "pattern": WINDOW}, "With popular: hours or days, as 24h"),
    _query("hide_seen", HIDE_SEEN, "Leave out what the user was shown so often and has not rated"),
    _query("hide_seen_for", HIDE_SEEN_FOR, "Only what was shown in this many hours up to now counts"),
    _query("include_rated", FLAG, "Also recommend what the user has rated"),
    _query("explain", FLAG, "Add the user's own items that contributed most"),
    _query("explore", EXPLORE, "The probability with which each place is given to chance"),
]


def _operation(name: str, summary: str, answer: Schema, **more: Any) -> Schema:
    return {"operationId": name, "summary": summary, "responses": answer, **more}


_LIST = _responses("Response", "The list, best first")
_RATINGS = {
    "oneOf": [
        _ref("Rating"),
        _ref("Forget"),
        _ref("Merge"),
        {
            "type": "array",
            "items": {"oneOf": [_ref("Rating"), _ref("Forget"), _ref("Merge")]},
            "minItems": 1,
            "maxItems": MAX_RATINGS,
        },
    ]
}


def document(low: float, high: float, *, skips: bool) -> Schema:
    """The document of a worker.

    Parameters
    ----------
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Recommender worker",
            "version": "1",
            "description": "Any worker answers. Fields and codes are those of the Kafka topics.",
        },
        "security": [{}, {"token": []}],
        "paths": {
            "/recommend": {
                "get": _operation(
                    "recommendByQuery",
                    "Recommend to a user",
                    _LIST,
                    parameters=[*_USERS, *_OPTIONS, *_HEADERS],
                ),
                "post": _operation(
                    "recommend",
                    "Recommend to a user, or items like another",
                    _LIST,
                    parameters=_HEADERS,
                    requestBody={"required": True, "content": _content("Request")},
                ),
            },
            "/items/{item}/similar": {
                "get": _operation(
                    "similarItems",
                    "Items most like another",
                    _LIST,
                    parameters=[
                        {
                            "name": "item",
                            "in": "path",
                            "required": True,
                            "schema": _TEXT,
                            "description": "Percent-encoded, a slash as %2F",
                        },
                        *_OPTIONS,
                        *_HEADERS,
                    ],
                )
            },
            "/ratings": {
                "post": _operation(
                    "rate",
                    "Write one rating or a list of them; answers once Kafka has all",
                    _responses("Written", "Where the ratings are"),
                    requestBody={"required": True, "content": {"application/json": {"schema": _RATINGS}}},
                )
            },
        },
        "components": {
            "schemas": {
                "Id": ID,
                "After": AFTER,
                "Request": REQUEST,
                "Rating": _rating(low, high, skips=skips),
                "Forget": FORGET,
                "Merge": MERGE,
                "Place": PLACE,
                "Response": RESPONSE,
                "Written": WRITTEN,
                "Failure": FAILURE,
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
