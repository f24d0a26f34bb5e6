"""The wire as the one who asks sees it: requests out, responses in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
import orjson

from recommender.client.errors import BadReply, RequestFailed
from recommender.messages.ratings import BadMessage
from recommender.messages.responses import Failure, Reason, Recommended, Response


class Written(NamedTuple):
    """Where a rating is in the ratings topic; `offset` is what ``after=`` takes."""

    partition: int
    offset: int


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


class _AsOf(msgspec.Struct, frozen=True, gc=False):
    partition: int
    offset: int


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


_outcome = msgspec.json.Decoder(_Outcome).decode
_failed = msgspec.json.Decoder(_Failed).decode
_answered = msgspec.json.Decoder(_Answered).decode


def encode_request(
    user: str | int | None,
    n: int = 10,
    items: Iterable[str | int] | None = None,
    exclude: Iterable[str | int] = (),
    include_rated: bool = False,
    after: int | None = None,
    arm: str | None = None,
    similar_to: str | int | None = None,
    explain: bool = False,
    explore: float | None = None,
) -> bytes:
    """A request as it goes out; the parameters are those of `Client.recommend`.

    Raises
    ------
    ValueError
        `explore` is not a finite number. In JSON it would be null, which leaves exploration to the worker.
    """
    if explore is not None and not math.isfinite(explore):
        raise ValueError(f"explore must be between 0 and 1, got {explore!r}")
    request: dict[str, Any] = {"n": n}
    if user is not None:
        request["user"] = str(user)
    if similar_to is not None:
        request["similar_to"] = str(similar_to)
    if explain:
        request["explain"] = True
    if items is not None:
        request["items"] = [str(each) for each in items]
    if excluded := [str(each) for each in exclude]:
        request["exclude"] = excluded
    if include_rated:
        request["include_rated"] = True
    if after is not None:
        request["after"] = after
    if arm is not None:
        request["arm"] = arm
    if explore is not None:
        request["explore"] = explore
    return orjson.dumps(request)


def encode_rating(
    user: str | int, item: str | int, rating: float | None, timestamp: float | None = None
) -> bytes:
    """A rating as it goes out; the parameters are those of `Client.rate`.

    Raises
    ------
    ValueError
        The rating is not a finite number. In JSON it would be null, which withdraws the rating.
    """
    if rating is not None and not math.isfinite(rating):
        raise ValueError(f"rating must be a finite number or None, got {rating!r}")
    message: dict[str, Any] = {"user": str(user), "item": str(item), "rating": rating}
    if timestamp is not None:
        message["timestamp"] = timestamp
    return orjson.dumps(message)


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
        forced=wire.forced,
    )


def _recommended(wire: _Item) -> Recommended:
    because = None if wire.because is None else [Reason(each.item, each.share) for each in wire.because]
    return Recommended(wire.item, wire.score, wire.source, wire.neighbours, because, wire.cold_start)


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
