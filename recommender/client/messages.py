"""The wire as a client sees it: requests out, responses in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from recommender.client import arguments
from recommender.client.errors import BadReply, RequestFailed
from recommender.client.ratings import Written
from recommender.messages.nesting import json_is_too_deep
from recommender.messages.ratings import BadMessage
from recommender.messages.requests import MAX_REQUEST_CATEGORIES, MAX_TIMES
from recommender.messages.responses import Failure, Reason, Recommended, Response

#: What an answer must know of: a rating that was written, an offset of the user's partition of the ratings,
#: or one of the journal as ``{"journal": offset}``.
After = int | Written | Mapping[str, int]


class _Reason(msgspec.Struct, frozen=True, gc=False):
    item: str
    share: float


class _Item(msgspec.Struct, frozen=True, gc=False):
    item: str
    score: float
    source: str = "exploit"
    neighbours: int | None = None
    because: list[_Reason] | None = None
    cold_start: bool = False
    boost: float | None = None
    title: str | None = None


class _AsOf(msgspec.Struct, frozen=True, gc=False):
    partition: int
    offset: int
    journal: int = -1


class _Error(msgspec.Struct, frozen=True, gc=False):
    code: str
    message: str
    retriable: bool = False


class _Outcome(msgspec.Struct, frozen=True, gc=False):
    """Read first: which of the two shapes the rest has."""

    ok: bool


class _Failed(msgspec.Struct, frozen=True, gc=False):
    error: _Error


class _Answered(msgspec.Struct, frozen=True, gc=False):
    user: str | None
    items: list[_Item]
    model: str
    arm: str
    cold_start: bool
    as_of: _AsOf
    forced: bool = False
    explained: bool = True
    fewer: str | None = None


_outcome = msgspec.json.Decoder(_Outcome).decode
_failed = msgspec.json.Decoder(_Failed).decode
_answered = msgspec.json.Decoder(_Answered).decode


def encode_request(
    user: str | int | None = None,
    n: int = 10,
    *,
    items: Iterable[str | int] | None = None,
    exclude: Iterable[str | int] | None = (),
    include_rated: bool = False,
    after: After | None = None,
    arm: str | None = None,
    similar_to: str | int | None = None,
    explain: bool = False,
    explore: float | None = None,
    categories: Iterable[str] | None = None,
    not_categories: Iterable[str] | None = None,
    titles: bool = False,
    history: Iterable[str | int] | None = None,
    popular: bool = False,
    window: str | None = None,
    hide_seen: int | None = None,
    hide_seen_for: float | None = None,
) -> bytes:
    """A request as it goes out; the parameters are those of `Client.recommend`.

    Raises
    ------
    TypeError, ValueError
        An argument is not what the contract allows; the text names it, its value and what was expected.
    """
    request: dict[str, Any] = {"n": arguments.count(n)}
    if user is not None:
        request["user"] = arguments.identifier("user", user)
    if similar_to is not None:
        request["similar_to"] = arguments.identifier("similar_to", similar_to)
    if arguments.flag("explain", explain):
        request["explain"] = True
    if items is not None:
        request["items"] = arguments.identifiers("items", items)
    if exclude is not None and (excluded := arguments.identifiers("exclude", exclude)):
        request["exclude"] = excluded
    if arguments.flag("include_rated", include_rated):
        request["include_rated"] = True
    if after is not None:
        request["after"] = arguments.after(after)
    if arm is not None:
        request["arm"] = arguments.text("arm", arm)
    if explore is not None:
        request["explore"] = arguments.share("explore", explore)
    for name, given in (("categories", categories), ("not_categories", not_categories)):
        if given is not None and (named := arguments.texts(name, given, MAX_REQUEST_CATEGORIES)):
            request[name] = named
    if arguments.flag("titles", titles):
        request["titles"] = True
    if history is not None:
        request["history"] = arguments.identifiers("history", history)
    if arguments.flag("popular", popular):
        request["popular"] = True
    if window is not None:
        request["window"] = arguments.text("window", window)
    if hide_seen is not None:
        request["hide_seen"] = arguments.integer("hide_seen", hide_seen, 0, MAX_TIMES)
    if hide_seen_for is not None:
        request["hide_seen_for"] = arguments.hours("hide_seen_for", hide_seen_for)
    _check_subject(request)
    return orjson.dumps(request)


def _check_subject(request: dict[str, Any]) -> None:
    """Refuse a request that is about nobody, about two, or asks for what a user alone has."""
    subjects = [name for name in ("user", "similar_to", "history") if name in request]
    if request.get("popular") and subjects not in ([], ["user"]):
        raise ValueError(f"popular goes with user or alone, got {subjects[-1]}")
    if subjects == ["user", "similar_to"] or (not subjects and not request.get("popular")):
        raise ValueError(f"expected either user or similar_to, got {'both' if subjects else 'neither'}")
    if len(subjects) > 1:
        raise ValueError(f"expected one of user, similar_to and history, got {' and '.join(subjects)}")
    for name in ("hide_seen", "hide_seen_for"):
        if request.get(name) and "user" not in request:
            raise ValueError(f"{name} is about what a user was shown: expected it with user")
    for name in ("explain", "explore"):
        if request.get(name) and ("user" not in request or request.get("popular")):
            other = subjects[0] if subjects and subjects != ["user"] else "popular"
            raise ValueError(f"{name} is about a user: expected it with user, got it with {other}")


def decode_response(value: bytes | None) -> Response:
    """The response in a reply's value. Unknown fields are ignored, so that the worker may be ahead.

    Raises
    ------
    Failure
        The reply is a failure.
    BadMessage
        The reply is neither a response nor a failure; the text says what is wrong with it, and where.
    """
    if value is None:
        raise BadMessage("the reply is null: expected a response")
    if json_is_too_deep(value):
        raise BadMessage("the reply is nested too deeply")
    try:
        if not _outcome(value).ok:
            failed = _failed(value).error
            raise Failure(failed.code, failed.message, retriable=failed.retriable)
        wire = _answered(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(f"the reply is not a response: {error}") from None
    return Response(
        user=wire.user,
        items=[_recommended(each) for each in wire.items],
        model=wire.model,
        arm=wire.arm,
        cold_start=wire.cold_start,
        partition=wire.as_of.partition,
        offset=wire.as_of.offset,
        journal=wire.as_of.journal,
        forced=wire.forced,
        explained=wire.explained,
        fewer=wire.fewer,
    )


def _recommended(wire: _Item) -> Recommended:
    because = None if wire.because is None else [Reason(each.item, each.share) for each in wire.because]
    return Recommended(
        item=wire.item,
        score=wire.score,
        source=wire.source,
        neighbours=wire.neighbours,
        because=because,
        cold_start=wire.cold_start,
        boost=wire.boost,
        title=wire.title,
    )


def decode_reply(value: bytes | None) -> Response:
    """The response in a reply.

    Raises
    ------
    RequestFailed
        The reply is a failure.
    BadReply
        The reply is not what the contract says.
    """
    try:
        return decode_response(value)
    except Failure as failure:
        raise RequestFailed(failure.code, failure.message, failure.retriable) from None
    except BadMessage as error:
        raise BadReply(str(error)) from None
