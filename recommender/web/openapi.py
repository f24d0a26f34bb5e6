"""The HTTP interface as an OpenAPI document; the limits are those of the code."""

from __future__ import annotations

from typing import Any

from recommender.messages.requests import (
    WINDOW,
)
from recommender.web.limits import MAX_RATINGS
from recommender.web.schemas import (
    AFTER,
    CATEGORIES,
    EXPLORE,
    FAILURE,
    FLAG,
    FORGET,
    HIDE_SEEN,
    HIDE_SEEN_FOR,
    ID,
    MERGE,
    PLACE,
    REQUEST,
    RESPONSE,
    WRITTEN,
    N,
    Schema,
    rating,
    ref,
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
    return {"application/json": {"schema": ref(name)}}


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
        ref("Rating"),
        ref("Forget"),
        ref("Merge"),
        {
            "type": "array",
            "items": {"oneOf": [ref("Rating"), ref("Forget"), ref("Merge")]},
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
                "Rating": rating(low, high, skips=skips),
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
