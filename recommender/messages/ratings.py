"""The wire: ratings in, and what all messages share.

Everything is JSON; a rating or request with the header ``content-type: application/msgpack`` is
MessagePack. Unknown fields are ignored, so that producers may be ahead of the worker. See
`recommender.messages.requests` and `recommender.messages.responses` for the rest, and
`recommender.messages.refusals` for what is said of a record that is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from recommender.messages.content_types import Headers as Headers
from recommender.messages.content_types import content_type, is_msgpack
from recommender.messages.nesting import MAX_NESTING, json_is_too_deep, msgpack_is_too_deep
from recommender.messages.refusals import BadMessage as BadMessage
from recommender.messages.refusals import Kind, kind_of_path, refused

#: The longest id, in bytes of UTF-8.
MAX_ID_BYTES = 256
#: Ids of this many characters cannot have more bytes than that.
SURE_CHARACTERS = MAX_ID_BYTES // 4
#: The largest value of a rating, in bytes: it needs about a hundred.
MAX_RATING_BYTES = 64 * 1024
#: The year 3000; a larger timestamp is in milliseconds by mistake.
MAX_TIMESTAMP = 32_503_680_000
#: What may stand for the rating 0 where ratings are signed.
SKIP = "skip"
TOO_DEEP = "the value is nested too deeply"
BOTH = "the value has both a rating and `{0}`: expected one of them - at `$.{0}`"

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
Timestamp = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)]


class Rating(NamedTuple):
    """A user's rating of an item.

    Attributes
    ----------
    user, item : str
        Their ids.
    rating : float or None
        None withdraws an earlier rating.
    timestamp : float or None
        Seconds since 1970, if the producer said when.
    """

    user: str
    item: str
    rating: float | None
    timestamp: float | None = None


class Forget(NamedTuple):
    """A user, or an item, of whom nothing shall be known any more: one of the two is None.

    Attributes
    ----------
    user, item : str or None
    timestamp : float or None
        Seconds since 1970, if the producer said when.
    """

    user: str | None
    item: str | None
    timestamp: float | None = None


class Merge(NamedTuple):
    """A guest who turns out to be a user: the user gets the guest's ratings, and the guest is forgotten.

    Attributes
    ----------
    user, guest : str
    timestamp : float or None
        Seconds since 1970, if the producer said when.
    """

    user: str
    guest: str
    timestamp: float | None = None


#: What a record of the ratings topic may say.
Event = Rating | Forget | Merge


class RatingDecoder:
    """Decodes and validates ratings.

    Parameters
    ----------
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``: shown and passed over. It is read as 0.

    Examples
    --------
    >>> decoder = RatingDecoder(0.5, 5.0)
    >>> decoder.decode(b'{"user": 42, "item": "50", "rating": 5}')
    Rating(user='42', item='50', rating=5.0, timestamp=None)
    >>> decoder.decode(b'{"user": 42, "item": "50", "rating": 6}')
    Traceback (most recent call last):
        ...
    recommender.messages.refusals.BadMessage: Expected `float` <= 5.0 - at `$.rating`
    """

    def __init__(self, low: float, high: float, *, skips: bool = False) -> None:
        self.skips = skips
        self.scale = float(low), float(high)
        value: Any = Annotated[float, msgspec.Meta(ge=low, le=high)]
        if skips:
            value |= Literal["skip"]
        wire = msgspec.defstruct(
            "Rating",
            [
                ("user", Identifier | int),
                ("item", Identifier | int),
                ("rating", value | None),
                ("timestamp", Timestamp | None, None),
                ("forget", bool | None, None),
                ("merge", Any, None),
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
        event = self.decode_event(value, headers)
        if not isinstance(event, Rating):
            what = "forget" if isinstance(event, Forget) else "merge"
            raise BadMessage(f"the value says `{what}`: expected a rating")
        return event

    def decode_event(self, value: bytes | None, headers: Headers = ()) -> Event:
        """The rating in a record's value, whom to forget, or whom to merge.

        Raises
        ------
        BadMessage
            It is none of them, or several.
        """
        decode = self._json
        if headers:
            decode = decoder_for(headers, self._json, self._msgpack)
        if value is None:
            raise BadMessage("the value is null: expected a rating", Kind.NULL_VALUE)
        if len(value) > MAX_RATING_BYTES:
            raise BadMessage(
                f"the value has {len(value)} bytes: expected at most {MAX_RATING_BYTES}", Kind.TOO_LARGE
            )
        refuse_depth(value, msgpack=decode is self._msgpack)
        try:
            wire: Any = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            found = _no_rating(value, msgpack=decode is self._msgpack)
            if found is not None:
                return found
            raise _explained(refused(error, value, headers), value, self.skips) from None
        if wire.forget or wire.merge is not None:
            raise BadMessage(BOTH.format("forget" if wire.forget else "merge"), Kind.BAD_FIELD)
        user, item = wire.user, wire.item
        if user.__class__ is int or len(user) > SURE_CHARACTERS:
            user = identifier(user, "$.user")
        if item.__class__ is int or len(item) > SURE_CHARACTERS:
            item = identifier(item, "$.item")
        return Rating(user, item, 0.0 if wire.rating == SKIP else wire.rating, wire.timestamp)


class _NoRating(msgspec.Struct, gc=False):
    user: Identifier | int | None = None
    item: Identifier | int | None = None
    timestamp: Timestamp | None = None
    forget: bool | None = None
    merge: Identifier | int | None = None
    rating: Any = msgspec.UNSET


_no_rating_json = msgspec.json.Decoder(_NoRating).decode
_no_rating_msgpack = msgspec.msgpack.Decoder(_NoRating).decode


def _no_rating(value: bytes, *, msgpack: bool) -> Forget | Merge | None:
    """The command of a value that is no rating; None if it is none that is known.

    Raises
    ------
    BadMessage
        It does, and is wrong in another way.
    """
    try:
        wire = (_no_rating_msgpack if msgpack else _no_rating_json)(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # what is wrong with it as a rating says more
    if not wire.forget and wire.merge is None:
        return None
    if wire.rating is not msgspec.UNSET:
        raise BadMessage(BOTH.format("forget" if wire.forget else "merge"), Kind.BAD_FIELD)
    if wire.merge is not None:
        return _merge(wire)
    if (wire.user is None) == (wire.item is None):
        got = "neither" if wire.user is None else "both"
        raise BadMessage(f"`forget` is about a user or an item, got {got} - at `$.forget`", Kind.BAD_FIELD)
    if wire.user is not None:
        return Forget(identifier(wire.user, "$.user"), None, wire.timestamp)
    assert wire.item is not None
    return Forget(None, identifier(wire.item, "$.item"), wire.timestamp)


def _merge(wire: _NoRating) -> Merge:
    """The merge that a value says."""
    assert wire.merge is not None
    if wire.forget or wire.item is not None or wire.user is None:
        raise BadMessage("`merge` goes with a user and nothing else - at `$.merge`", Kind.BAD_FIELD)
    user, guest = identifier(wire.user, "$.user"), identifier(wire.merge, "$.merge")
    if user == guest:
        raise BadMessage(f"user {user!r} cannot be merged with himself - at `$.merge`", Kind.BAD_FIELD)
    return Merge(user, guest, wire.timestamp)


def header(headers: Headers, *names: str) -> bytes | None:
    """The value of a header that may have one of these names, or None.

    Of several with one name the last counts, as in Kafka's own clients. One that is null says nothing: then
    the next name counts.
    """
    last = dict(headers or ())
    return next((value for name in names if (value := last.get(name)) is not None), None)


def decoder_for(headers: Headers, json: Any, msgpack: Any) -> Any:
    """The decoder for a record with these headers: JSON's, unless they say MessagePack."""
    return msgpack if is_msgpack(content_type(headers)) else json


def refuse_depth(value: bytes, *, msgpack: bool = False) -> None:
    """Raise a `BadMessage` if a value is nested too deeply, whatever the interpreter could read."""
    if len(value) > MAX_NESTING and (msgpack_is_too_deep if msgpack else json_is_too_deep)(value):
        raise BadMessage(TOO_DEEP, Kind.TOO_DEEP)


def identifier(value: str | int, path: str) -> str:
    """An id as text, within its bound in bytes."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        raise BadMessage(
            f"an integer of more than {MAX_ID_BYTES} digits - at `{path}`", kind_of_path(path)
        ) from None
    size = len(text.encode())
    if size > MAX_ID_BYTES:
        raise BadMessage(
            f"expected an id of at most {MAX_ID_BYTES} bytes, got {size} - at `{path}`", kind_of_path(path)
        )
    return text


def _explained(error: BadMessage, value: bytes, skips: bool) -> BadMessage:
    """Say what is wrong with a rating, and what it might be instead where it is text."""
    text = str(error)
    if error.kind is not Kind.BAD_RATING:
        return error
    if skips:
        text = text.replace("Invalid enum value", "Expected a number, null or 'skip', got")
    elif b'"skip"' in value:
        text += " ('skip' is for the feedback policy signed)"
    return BadMessage(text, error.kind)
