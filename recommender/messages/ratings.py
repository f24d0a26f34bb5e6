"""The wire: ratings in, and what all messages share.

Everything is JSON; a rating or request with the header ``content-type: application/msgpack`` is
MessagePack. Unknown fields are ignored, so that producers may be ahead of the worker. See
`recommender.messages.requests` and `recommender.messages.responses` for the rest, and
`recommender.messages.refusals` for what is said of a record that is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recommender.ingest import rating_json
from recommender.ingest.header_names import telling
from recommender.messages.content_types import HEADER as CONTENT_TYPE
from recommender.messages.content_types import Headers as Headers
from recommender.messages.content_types import content_type, is_msgpack
from recommender.messages.refusals import BadMessage as BadMessage
from recommender.messages.refusals import Kind, kind_of_path, refused

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

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
Timestamp = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)]


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

    def part(self, first: int, last: int) -> Rows:
        """The rows from `first` on, below `last`."""
        rows = slice(first, last)
        return Rows(self.text, self.spans[rows], self.ratings[rows], self.times[rows], self.plain[rows])

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
            raise BadMessage("the value is null: expected a rating", Kind.NULL_VALUE)
        if len(value) > MAX_RATING_BYTES:
            raise BadMessage(
                f"the value has {len(value)} bytes: expected at most {MAX_RATING_BYTES}", Kind.TOO_LARGE
            )
        try:
            wire: Any = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _explained(refused(error, value, headers), value, self.skips) from None
        user, item = wire.user, wire.item
        if user.__class__ is int or len(user) > SURE_CHARACTERS:
            user = identifier(user, "$.user")
        if item.__class__ is int or len(item) > SURE_CHARACTERS:
            item = identifier(item, "$.item")
        return Rating(user, item, 0.0 if wire.rating == SKIP else wire.rating, wire.timestamp)

    def read(self, records: Sequence[Any], apart: Collection[str] = ()) -> Rows:
        """The plain ones of many records at once, as most producers write them.

        Parameters
        ----------
        records : sequence
            With a `value` and `headers` each.
        apart : collection of str, optional
            Headers whose records are not plain, because they mean something to whoever asks.
        """
        values = [record.value for record in records]
        count = len(values)
        try:
            joined = bytearray().join(values)
        except TypeError:  # some are null
            values = [value or b"" for value in values]
            joined = bytearray().join(values)
        text = np.frombuffer(joined, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, count)
        plain = lengths <= MAX_RATING_BYTES
        plain &= ~telling(
            records,
            lambda name: name in apart or name.lower() == CONTENT_TYPE,
            lambda pair: pair[0] in apart or is_msgpack(pair[1]),
        )
        rows = Rows(text, np.empty((count, 4), np.int64), np.empty(count), np.empty(count), plain)
        limits = (*self._scale, self.skips, float(MAX_TIMESTAMP), MAX_ID_BYTES)
        rating_json.read_all(text, np.cumsum(lengths), *limits, rows.spans, rows.ratings, rows.times, plain)
        text.flags.writeable = False  # whoever reads on has kernels for one kind
        return rows


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
    """What is wrong with a rating; with what else it might be where it is text."""
    text = str(error)
    if error.kind is not Kind.BAD_RATING:
        return error
    if skips:
        text = text.replace("Invalid enum value", "Expected a number, null or 'skip', got")
    elif b'"skip"' in value:
        text += " ('skip' is for the feedback policy signed)"
    return BadMessage(text, error.kind)
