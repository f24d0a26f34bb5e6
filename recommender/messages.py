"""The wire: ratings and requests in, responses and failures out.

Everything is JSON; a rating or request with the header ``content-type: application/msgpack`` is
MessagePack. Unknown fields are ignored, so that producers may be ahead of the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
import orjson

#: The longest id, in bytes of UTF-8.
MAX_ID_BYTES = 256
#: Ids of so many characters cannot have more bytes than that.
SURE_CHARACTERS = MAX_ID_BYTES // 4
#: The largest value of a rating or request, in bytes: a rating needs about a hundred.
MAX_RATING_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 512 * 1024
#: The longest list of candidates or exclusions in one request.
MAX_REQUEST_ITEMS = 10_000
MAX_N = 1000
#: The year 3000; a larger timestamp is in milliseconds by mistake.
MAX_TIMESTAMP = 32_503_680_000

Headers = Sequence[tuple[str, bytes]]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
Timestamp = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)]
Items = Annotated[list[Identifier | int], msgspec.Meta(max_length=MAX_REQUEST_ITEMS)]


class BadMessage(ValueError):
    """A record that is not what its topic holds; the text says what is wrong with it, and where."""


class Rating(NamedTuple):
    """A user's rating of an item.

    Attributes
    ----------
    user, item : str
    rating : float or None
        None withdraws an earlier rating.
    timestamp : float or None
        Seconds since 1970, if the producer said when.
    """

    user: str
    item: str
    rating: float | None
    timestamp: float | None


class Columns(NamedTuple):
    """Many ratings, field by field; a rating of None withdraws, times are in seconds."""

    users: list[str]
    items: list[str]
    ratings: list[float | None]
    times: list[float]


class RatingDecoder:
    """Decodes and validates ratings.

    Parameters
    ----------
    low, high : float
        The scale of ratings.
    """

    def __init__(self, low: float, high: float) -> None:
        value = Annotated[float, msgspec.Meta(ge=low, le=high)]
        wire = msgspec.defstruct(
            "Rating",
            [
                ("user", Identifier | int),
                ("item", Identifier | int),
                ("rating", value | None),
                ("timestamp", Timestamp | None, None),
            ],
            gc=False,
        )
        self._json = msgspec.json.Decoder(wire).decode
        self._msgpack = msgspec.msgpack.Decoder(wire).decode

    def decode(self, value: bytes | None, headers: Headers = ()) -> Rating:
        """The rating in a record's value.

        Raises
        ------
        BadMessage
            It is not a rating; the text names the field, as in ``Expected `float`, got `str` - at
            `$.rating```.
        """
        decode = self._json
        if headers:
            decode = _decoder(headers, self._json, self._msgpack)
        if value is None:
            raise BadMessage("the value is null: expected a rating")
        if len(value) > MAX_RATING_BYTES:
            raise BadMessage(f"the value has {len(value)} bytes: expected at most {MAX_RATING_BYTES}")
        try:
            wire: Any = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadMessage(_explain(error)) from None
        user, item = wire.user, wire.item
        if user.__class__ is int or len(user) > SURE_CHARACTERS:
            user = _identifier(user, "$.user")
        if item.__class__ is int or len(item) > SURE_CHARACTERS:
            item = _identifier(item, "$.item")
        return Rating(user, item, wire.rating, wire.timestamp)

    def decode_all(self, records: Sequence[Any]) -> Columns | None:
        """The ratings of many records at once, as columns.

        Returns
        -------
        Columns or None
            None if any of them needs a closer look: it has headers, or is bad. `decode` gives that look.
        """
        if any([record.headers for record in records]):  # noqa: C419 - a list is twice as fast
            return None
        values = [record.value for record in records]
        try:
            if max(map(len, values), default=0) > MAX_RATING_BYTES:
                return None
            wires: list[Any] = list(map(self._json, values))
            users = [each.user if each.user.__class__ is str else str(each.user) for each in wires]
            items = [each.item if each.item.__class__ is str else str(each.item) for each in wires]
        except (TypeError, ValueError, RecursionError):
            return None
        if (
            max(map(len, users), default=0) > SURE_CHARACTERS
            or max(map(len, items), default=0) > SURE_CHARACTERS
        ):
            return None
        ratings = [each.rating for each in wires]
        times = [each.timestamp for each in wires]
        if None in times:
            for place, time in enumerate(times):
                if time is None:
                    times[place] = records[place].timestamp / 1000
        return Columns(users, items, ratings, times)


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request for the n best items for a user, or the n most similar ones to an item.

    Attributes
    ----------
    user : str or None
    n : int
    items : list of str or None
        The candidates; None: every item.
    exclude : list of str
        Never recommend these.
    include_rated : bool
        Also recommend what the user has rated.
    after : int or None
        Answer only once the user's shard has learned up to this offset of the ratings topic.
    arm : str or None
        Answer with this arm, whatever the user's own is.
    similar_to : str or None
        An item; given instead of a user.
    explain : bool
        Add to each item the user's own items that contributed most.
    """

    user: Identifier | int | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_N)] = 10
    items: Items | None = None
    exclude: Items = []
    include_rated: bool = False
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    arm: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)] | None = None
    similar_to: Identifier | int | None = None
    explain: bool = False


_request_json = msgspec.json.Decoder(Request).decode
_request_msgpack = msgspec.msgpack.Decoder(Request).decode


def decode_request(value: bytes | None, headers: Headers = ()) -> Request:
    """The request in a record's value, its ids as text.

    Raises
    ------
    BadMessage
        It is not a request; the text names the field and what was expected.
    """
    decode = _decoder(headers, _request_json, _request_msgpack)
    if value is None:
        raise BadMessage("the value is null: expected a request")
    if len(value) > MAX_REQUEST_BYTES:
        raise BadMessage(f"the value has {len(value)} bytes: expected at most {MAX_REQUEST_BYTES}")
    try:
        request: Request = decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadMessage(_explain_request(error, value)) from None
    user, similar_to, items = request.user, request.similar_to, request.items
    if user is None and similar_to is None:
        raise BadMessage("Object missing required field `user` (or `similar_to`)")
    if user is not None and similar_to is not None:
        raise BadMessage("expected either `user` or `similar_to`, got both")
    if request.explain and user is None:
        raise BadMessage("`explain` names a user's own items: expected it with `user`")
    return msgspec.structs.replace(
        request,
        user=None if user is None else _identifier(user, "$.user"),
        similar_to=None if similar_to is None else _identifier(similar_to, "$.similar_to"),
        items=None if items is None else _identifiers(items, "$.items"),
        exclude=_identifiers(request.exclude, "$.exclude"),
    )


class Reason(NamedTuple):
    """An item that the user has rated, and its share in a recommendation, from 0 to 1."""

    item: str
    share: float


class Recommended(NamedTuple):
    """One place of a list of recommendations."""

    item: str
    score: float
    source: str = "exploit"
    neighbours: int | None = None
    because: list[Reason] | None = None


class Response(NamedTuple):
    """The answer to a request.

    Attributes
    ----------
    user : str or None
        None where similar items were asked for.
    items : list of Recommended
        Best first.
    model, arm : str
        What answered.
    cold_start : bool
        The user was unknown, so these are the popular items.
    partition, offset : int
        The last rating that the answer knows of; offset -1 is before the first.
    """

    user: str | None
    items: list[Recommended]
    model: str
    arm: str
    cold_start: bool
    partition: int
    offset: int

    def encode(self) -> bytes:
        """The response as it goes out."""
        items: list[dict[str, Any]] = []
        for each in self.items:
            shown: dict[str, Any] = {"item": each.item, "score": each.score, "source": each.source}
            if each.neighbours is not None:
                shown["neighbours"] = each.neighbours
            if each.because is not None:
                shown["because"] = [reason._asdict() for reason in each.because]
            items.append(shown)
        return orjson.dumps(
            {
                "ok": True,
                "user": self.user,
                "items": items,
                "model": self.model,
                "arm": self.arm,
                "cold_start": self.cold_start,
                "as_of": {"partition": self.partition, "offset": self.offset},
            }
        )


class Failure(Exception):
    """The answer to a request that cannot be answered.

    Attributes
    ----------
    code : str
        ``bad_request``, ``deadline_exceeded``, ``not_caught_up``, ``wrong_partition``, ``internal_error``,
        ``reply_topic_not_allowed``, ``reply_topic_unavailable`` or ``reply_not_accepted``.
    message : str
        One sentence for a person.
    retriable : bool
        The same request may succeed later.
    """

    def __init__(self, code: str, message: str, *, retriable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retriable = retriable

    def encode(self) -> bytes:
        """The failure as it goes out."""
        error = {"code": self.code, "message": self.message, "retriable": self.retriable}
        return orjson.dumps({"ok": False, "error": error})


def header(headers: Headers, *names: str) -> bytes | None:
    """The value of the first header that has one of these names, or None."""
    for name, value in headers or ():
        if name in names:
            return value
    return None


def _decoder(headers: Headers, json: Callable[[bytes], Any], msgpack: Callable[[bytes], Any]) -> Any:
    content_type = header(headers, "content-type")
    if content_type is None:
        return json
    kind = content_type.partition(b";")[0].strip().lower()
    if kind == b"application/json":
        return json
    if kind in (b"application/msgpack", b"application/x-msgpack", b"application/vnd.msgpack"):
        return msgpack
    shown = content_type[:64].decode("utf-8", "replace")
    raise BadMessage(f"content-type is {shown!r}: expected application/json or application/msgpack")


def _identifier(value: str | int, path: str) -> str:
    """An id as text, within its bound in bytes."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        raise BadMessage(f"an integer of more than {MAX_ID_BYTES} digits - at `{path}`") from None
    size = len(text.encode())
    if size > MAX_ID_BYTES:
        raise BadMessage(f"expected an id of at most {MAX_ID_BYTES} bytes, got {size} - at `{path}`")
    return text


def _identifiers(values: list[str | int], path: str) -> list[str | int]:
    return [_identifier(each, f"{path}[{place}]") for place, each in enumerate(values)]


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the value is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"the value is not UTF-8: {error.reason} at byte {error.start}"
    text = str(error)
    return f"{text} (timestamps are in seconds)" if text.endswith("`$.timestamp`") else text


def _explain_request(error: Exception, value: bytes) -> str:
    """What is wrong with a request; for the commonest mistake in the words of the contract."""
    text = _explain(error)
    if text.endswith("`$.n`"):
        try:
            n = msgspec.json.decode(value).get("n")
        except (msgspec.MsgspecError, AttributeError, RecursionError, UnicodeDecodeError):
            return text
        return f"n must be between 1 and {MAX_N}, got {n!r:.64}"
    return text
