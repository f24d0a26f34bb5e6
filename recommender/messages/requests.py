"""The wire: requests in, as JSON or MessagePack."""

from __future__ import annotations

from typing import Annotated

import msgspec

from recommender.messages.ratings import (
    MAX_ID_BYTES,
    BadMessage,
    Headers,
    Identifier,
    decoder_for,
    explain,
    identifier,
)

#: The largest value of a request, in bytes.
MAX_REQUEST_BYTES = 512 * 1024
#: The longest list of candidates or exclusions in one request.
MAX_REQUEST_ITEMS = 10_000
MAX_N = 1000

Items = Annotated[list[Identifier | int], msgspec.Meta(max_length=MAX_REQUEST_ITEMS)]


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
    explore : float or None
        The probability with which each place is given to chance; 0 turns exploration off. None: as the
        worker is set.
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
    explore: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


_request_json = msgspec.json.Decoder(Request).decode
_request_msgpack = msgspec.msgpack.Decoder(Request).decode


def decode_request(value: bytes | None, headers: Headers = ()) -> Request:
    """The request in a record's value, its ids as text.

    Raises
    ------
    BadMessage
        It is not a request; the text names the field and what was expected.
    """
    decode = decoder_for(headers, _request_json, _request_msgpack)
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
    if request.explore and user is None:
        raise BadMessage("`explore` is for recommendations: expected it with `user`")
    return msgspec.structs.replace(
        request,
        user=None if user is None else identifier(user, "$.user"),
        similar_to=None if similar_to is None else identifier(similar_to, "$.similar_to"),
        items=None if items is None else _identifiers(items, "$.items"),
        exclude=_identifiers(request.exclude, "$.exclude"),
    )


def _identifiers(values: list[str | int], path: str) -> list[str | int]:
    return [identifier(each, f"{path}[{place}]") for place, each in enumerate(values)]


def _explain_request(error: Exception, value: bytes) -> str:
    """What is wrong with a request; for the commonest mistakes in the words of the contract."""
    text = explain(error)
    for name, bounds in (("n", f"1 and {MAX_N}"), ("explore", "0 and 1")):
        if text.endswith(f"`$.{name}`"):
            try:
                given = msgspec.json.decode(value).get(name)
            except (msgspec.MsgspecError, AttributeError, RecursionError, UnicodeDecodeError):
                return text
            return f"{name} must be between {bounds}, got {given!r:.64}"
    return text
