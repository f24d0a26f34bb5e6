"""The wire: requests in, as JSON or MessagePack."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from recommender.messages import lookalikes
from recommender.messages.content_types import content_type, is_msgpack
from recommender.messages.ratings import (
    MAX_ID_BYTES,
    BadMessage,
    Headers,
    Identifier,
    decoder_for,
    identifier,
    refuse_depth,
)
from recommender.messages.refusals import Kind, refused

#: The largest value of a request, in bytes.
MAX_REQUEST_BYTES = 512 * 1024
#: The longest list of candidates or exclusions in one request.
MAX_REQUEST_ITEMS = 10_000
MAX_N = 1000
#: The most often that an item can be shown before it is left out, and the longest time that counts, in hours.
MAX_TIMES, MAX_HOURS = 1000, 8760
#: A window of time: hours or days.
WINDOW = "^[1-9][0-9]{0,2}[hd]$"
#: Python's own: there `$` is also before the end of a line.
_WINDOW = WINDOW + r"(?!\n)"
HOURS = {"h": 1, "d": 24}
DEFAULT_N = 10

Items = Annotated[list[Identifier | int], msgspec.Meta(max_length=MAX_REQUEST_ITEMS)]


#: As many as one item has.
MAX_REQUEST_CATEGORIES = 100
Categories = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]],
    msgspec.Meta(max_length=MAX_REQUEST_CATEGORIES),
]

Offset = Annotated[int, msgspec.Meta(ge=0)]


class After(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A rating that an answer must know of: where it is in the ratings topic, or in the journal.

    Attributes
    ----------
    partition, offset : int or None
        Of the ratings topic, as `recommender.client.Client.rate` returns them.
    journal : int or None
        An offset of the journal, as `as_of` names it; instead of the other two.
    """

    partition: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
    offset: Offset | None = None
    journal: Offset | None = None


class Liked(msgspec.Struct, frozen=True, gc=False):
    """An item of a guest's history, and what the guest gave it.

    Attributes
    ----------
    item : str
        Its id.
    rating : float or None
        None: it was liked.
    """

    item: Identifier | int
    rating: float | None = None


History = Annotated[list[Identifier | int | Liked], msgspec.Meta(max_length=MAX_REQUEST_ITEMS)]


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request for the n best items for a user, or the n most similar ones to an item.

    Attributes
    ----------
    user : str or None
        Their id; None where `similar_to`, `history` or `popular` is given instead.
    n : int
        At most this many items.
    items : list of str or None
        The candidates; None: every item.
    exclude : list of str
        Never recommend these.
    include_rated : bool
        Also recommend what the user has rated.
    after : int or After or None
        Answer only once this rating is learned; a plain number is an offset of the partition of the user's
        key.
    arm : str or None
        Answer with this arm, whatever the user's own is.
    similar_to : str or None
        An item; given instead of a user.
    explain : bool
        Add to each item the user's own items that contributed most.
    explore : float or None
        The probability with which each place is given to chance; 0 turns exploration off. None: as the
        worker is set.
    categories : list of str or None
        Only items of at least one of these; None: all items, also those without a category.
    not_categories : list of str
        No items of any of these.
    titles : bool
        Say what the items are called.
    history : list of Liked or None
        What a guest has liked, the oldest first; given instead of a user. Nothing of it is stored.
    popular : bool
        The popular items; a user may be given, whose rated items are left out.
    window : int or None
        Popular in this many hours up to now; None: of all times.
    hide_seen : int or None
        Leave out what the user was shown this many times and has not rated; 0: nothing. None: as the worker
        is set.
    hide_seen_for : float or None
        Only what was shown in this many hours up to now counts. None: as the worker is set.
    """

    user: str | int | None = None
    n: int = DEFAULT_N
    items: list[str | int] | None = None
    exclude: list[str | int] = []
    include_rated: bool = False
    after: int | After | None = None
    arm: str | None = None
    similar_to: str | int | None = None
    explain: bool = False
    explore: float | None = None
    categories: list[str] | None = None
    not_categories: list[str] = []
    titles: bool = False
    history: list[Liked] | None = None
    popular: bool = False
    window: int | None = None
    hide_seen: int | None = None
    hide_seen_for: float | None = None


class _Wire(msgspec.Struct, gc=False):
    """A request as it comes: each field may be left out or null, which is the same."""

    user: Identifier | int | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_N)] | None = None
    items: Items | None = None
    exclude: Items | None = None
    include_rated: bool | None = None
    after: Offset | After | None = None
    arm: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)] | None = None
    similar_to: Identifier | int | None = None
    explain: bool | None = None
    explore: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    categories: Categories | None = None
    not_categories: Categories | None = None
    titles: bool | None = None
    history: History | None = None
    popular: bool | None = None
    window: Annotated[str, msgspec.Meta(pattern=_WINDOW)] | None = None
    hide_seen: Annotated[int, msgspec.Meta(ge=0, le=MAX_TIMES)] | None = None
    hide_seen_for: Annotated[float, msgspec.Meta(gt=0, le=MAX_HOURS)] | None = None


_request_json = msgspec.json.Decoder(_Wire).decode
_request_msgpack = msgspec.msgpack.Decoder(_Wire).decode


def decode_request(value: bytes | None, headers: Headers = ()) -> Request:
    """The request in a record's value, its ids as text.

    Raises
    ------
    BadMessage
        It is not a request; the text names the field and what was expected.
    """
    decode = decoder_for(headers, _request_json, _request_msgpack)
    if value is None:
        raise BadMessage("the value is null: expected a request", Kind.NULL_VALUE)
    if len(value) > MAX_REQUEST_BYTES:
        raise BadMessage(
            f"the value has {len(value)} bytes: expected at most {MAX_REQUEST_BYTES}", Kind.TOO_LARGE
        )
    refuse_depth(value, msgpack=decode is _request_msgpack)
    try:
        wire: _Wire = decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _explained(refused(error, value, headers), value, decode is _request_msgpack) from None
    user, similar_to = wire.user, wire.similar_to
    _check_subject(wire, value, headers)
    return Request(
        user=None if user is None else identifier(user, "$.user"),
        n=DEFAULT_N if wire.n is None else wire.n,
        items=None if wire.items is None else _identifiers(wire.items, "$.items"),
        exclude=_identifiers(wire.exclude or (), "$.exclude"),
        include_rated=bool(wire.include_rated),
        after=_checked(wire.after),
        arm=wire.arm,
        similar_to=None if similar_to is None else identifier(similar_to, "$.similar_to"),
        explain=bool(wire.explain),
        explore=wire.explore,
        categories=wire.categories or None,
        not_categories=wire.not_categories or [],
        titles=bool(wire.titles),
        history=None if wire.history is None else _history(wire.history),
        popular=bool(wire.popular),
        window=None if wire.window is None else int(wire.window[:-1]) * HOURS[wire.window[-1]],
        hide_seen=wire.hide_seen,
        hide_seen_for=wire.hide_seen_for,
    )


def _check_subject(wire: _Wire, value: bytes, headers: Headers) -> None:
    """Refuse a request that is about nobody, about two, or asks for what a user alone has."""
    given = {"user": wire.user, "similar_to": wire.similar_to, "history": wire.history}
    subjects = [name for name, each in given.items() if each is not None]
    if wire.popular and subjects not in ([], ["user"]):
        raise BadMessage(f"`popular` goes with `user` or alone, got `{subjects[-1]}`", Kind.BAD_FIELD)
    if wire.window is not None and not wire.popular:
        raise BadMessage("`window` is for the popular items: expected it with `popular`", Kind.BAD_FIELD)
    if not subjects and not wire.popular:
        raise _without_subject(value, headers)
    if subjects == ["user", "similar_to"]:
        raise BadMessage("expected either `user` or `similar_to`, got both", Kind.BAD_FIELD)
    if len(subjects) > 1:
        named = " and ".join(f"`{name}`" for name in subjects)
        raise BadMessage(f"expected one of `user`, `similar_to` and `history`, got {named}", Kind.BAD_FIELD)
    if wire.explain and (wire.user is None or wire.popular):
        raise BadMessage("`explain` names a user's own items: expected it with `user`", Kind.BAD_FIELD)
    if wire.explore and (wire.user is None or wire.popular):
        raise BadMessage("`explore` is for recommendations: expected it with `user`", Kind.BAD_FIELD)
    if wire.user is None and (wire.hide_seen or wire.hide_seen_for is not None):
        name = "hide_seen" if wire.hide_seen else "hide_seen_for"
        text = f"`{name}` is about what a user was shown: expected it with `user`"
        raise BadMessage(text, Kind.BAD_FIELD)


def _history(values: Sequence[str | int | Liked]) -> list[Liked]:
    found = []
    for place, each in enumerate(values):
        path = f"$.history[{place}]"
        if isinstance(each, Liked):
            if each.rating is not None and not math.isfinite(each.rating):
                text = f"Expected a finite number, got {each.rating} - at `{path}.rating`"
                raise BadMessage(text, Kind.BAD_RATING)
            found.append(Liked(identifier(each.item, path + ".item"), each.rating))
        else:
            found.append(Liked(identifier(each, path)))
    return found


def _checked(after: int | After | None) -> int | After | None:
    if isinstance(after, After):
        place = after.partition is not None and after.offset is not None
        neither = after.partition is None and after.offset is None
        if not (place and after.journal is None) and not (neither and after.journal is not None):
            raise BadMessage(
                "expected `partition` and `offset`, or `journal` alone - at `$.after`", Kind.BAD_FIELD
            )
    return after


def _identifiers(values: Sequence[str | int], path: str) -> list[str | int]:
    return [identifier(each, f"{path}[{place}]") for place, each in enumerate(values)]


def _without_subject(value: bytes, headers: Headers) -> BadMessage:
    missing = "Object missing required field `user` (or `similar_to`, `history`, `popular`)"
    looks = lookalikes.of_document(value, headers, packed=is_msgpack(content_type(headers)))
    if looks:
        return BadMessage(f"{missing}: {looks}", Kind.ENVELOPE)
    return BadMessage(missing, Kind.MISSING_FIELD)


def _explained(error: BadMessage, value: bytes, packed: bool) -> BadMessage:
    """Say what is wrong with a request; for the commonest mistakes in the words of the contract."""
    text = str(error)
    if text.endswith("`$.window`"):
        return BadMessage('window must be 1 to 999 hours or days, such as "24h" or "7d"', error.kind)
    bounded = (("n", f"1 and {MAX_N}"), ("explore", "0 and 1"), ("hide_seen", f"0 and {MAX_TIMES}"))
    for name, bounds in bounded:
        if text.endswith(f"`$.{name}`"):
            try:
                given = (msgspec.msgpack if packed else msgspec.json).decode(value).get(name)
            except (msgspec.MsgspecError, AttributeError, RecursionError, ValueError):
                return error
            kind = _kind(name, given)
            return BadMessage(f"{name} must be {kind}between {bounds}, got {given!r:.64}", error.kind)
    return error


def _kind(name: str, given: Any) -> str:
    """The word that is missing where a value is not even of the right kind."""
    is_integer = isinstance(given, int) and not isinstance(given, bool)
    if name != "explore":
        return "" if is_integer else "an integer "
    return "" if is_integer or isinstance(given, float) else "a number "
