"""The wire: ratings in, and what all messages share.

Everything is JSON; a rating or request with the header ``content-type: application/msgpack`` is
MessagePack. Unknown fields are ignored, so that producers may be ahead of the worker. See
`recommender.messages.requests` and `recommender.messages.responses` for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recommender.ingest import rating_json

#: The longest id, in bytes of UTF-8.
MAX_ID_BYTES = 256
#: Ids of so many characters cannot have more bytes than that.
SURE_CHARACTERS = MAX_ID_BYTES // 4
#: The largest value of a rating, in bytes: it needs about a hundred.
MAX_RATING_BYTES = 64 * 1024
#: The year 3000; a larger timestamp is in milliseconds by mistake.
MAX_TIMESTAMP = 32_503_680_000
#: What may stand for the rating 0 where ratings are signed.
SKIP = "skip"

Headers = Sequence[tuple[str, bytes]]
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
Timestamp = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)]


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


class Rows(NamedTuple):
    """Many ratings as arrays.

    Attributes
    ----------
    text : uint8 array
        UTF-8, in which the ids stand.
    spans : int64 array, shape (ratings, 4)
        Where in the text the user begins and ends, then the item.
    ratings : float64 array
        NaN withdraws.
    times : float64 array
        In seconds; NaN where the producer did not say.
    plain : bool array
        Where this is False nothing is known yet: `RatingDecoder.decode` has to look at the record.
    """

    text: NDArray[np.uint8]
    spans: NDArray[np.int64]
    ratings: NDArray[np.float64]
    times: NDArray[np.float64]
    plain: NDArray[np.bool_]

    def ids(self, column: int) -> list[str]:
        """The users (column 0) or the items (2) as text; empty where nothing is known."""
        text = self.text.tobytes()
        return [text[begin:end].decode() for begin, end in self.spans[:, column : column + 2].tolist()]


class RatingDecoder:
    """Decodes and validates ratings.

    Parameters
    ----------
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``: shown and passed over. It is read as 0.
    """

    def __init__(self, low: float, high: float, *, skips: bool = False) -> None:
        self.skips = skips
        self._scale = float(low), float(high)
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
            decode = decoder_for(headers, self._json, self._msgpack)
        if value is None:
            raise BadMessage("the value is null: expected a rating")
        if len(value) > MAX_RATING_BYTES:
            raise BadMessage(f"the value has {len(value)} bytes: expected at most {MAX_RATING_BYTES}")
        try:
            wire: Any = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadMessage(_explain_rating(error, value, self.skips)) from None
        user, item = wire.user, wire.item
        if user.__class__ is int or len(user) > SURE_CHARACTERS:
            user = identifier(user, "$.user")
        if item.__class__ is int or len(item) > SURE_CHARACTERS:
            item = identifier(item, "$.item")
        return Rating(user, item, 0.0 if wire.rating == SKIP else wire.rating, wire.timestamp)

    def read(self, records: Sequence[Any]) -> Rows:
        """The plain ones of many records at once: without headers, and as most producers write them."""
        values = [record.value for record in records]
        count = len(values)
        try:
            joined = b"".join(values)
        except TypeError:  # some are null
            joined = b"".join([value or b"" for value in values])
            values = [value or b"" for value in values]
        text = np.frombuffer(joined, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, count)
        plain = lengths <= MAX_RATING_BYTES
        headers = [record.headers for record in records]
        if any(headers):
            plain &= ~np.fromiter(map(bool, headers), np.bool_, count)
        rows = Rows(text, np.empty((count, 4), np.int64), np.empty(count), np.empty(count), plain)
        limits = (*self._scale, self.skips, float(MAX_TIMESTAMP), SURE_CHARACTERS)
        rating_json.read_all(text, np.cumsum(lengths), *limits, rows.spans, rows.ratings, rows.times, plain)
        return rows


def header(headers: Headers, *names: str) -> bytes | None:
    """The value of a header that may have one of these names, or None.

    Of several with one name the last counts, as in Kafka's own clients. One that is null says nothing: then
    the next name counts.
    """
    last = dict(headers or ())
    return next((value for name in names if (value := last.get(name)) is not None), None)


def decoder_for(headers: Headers, json: Callable[[bytes], Any], msgpack: Callable[[bytes], Any]) -> Any:
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


def identifier(value: str | int, path: str) -> str:
    """An id as text, within its bound in bytes."""
    try:
        text = str(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        raise BadMessage(f"an integer of more than {MAX_ID_BYTES} digits - at `{path}`") from None
    size = len(text.encode())
    if size > MAX_ID_BYTES:
        raise BadMessage(f"expected an id of at most {MAX_ID_BYTES} bytes, got {size} - at `{path}`")
    return text


def explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the value is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"the value is not UTF-8: {error.reason} at byte {error.start}"
    text = str(error)
    return f"{text} (timestamps are in seconds)" if text.endswith("`$.timestamp`") else text


def _explain_rating(error: Exception, value: bytes, skips: bool) -> str:
    """What is wrong with a rating; with what else it might be where it is text."""
    text = explain(error)
    if not text.endswith("`$.rating`"):
        return text
    if skips:
        return text.replace("Invalid enum value", "Expected a number, null or 'skip', got")
    return f"{text} ('skip' is for the feedback policy signed)" if b'"skip"' in value else text
