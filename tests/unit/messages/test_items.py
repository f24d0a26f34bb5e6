"""Records of the items topic."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from recommender.messages.items import MAX_BOOST, MAX_CATEGORIES, MIN_BOOST, ItemInfo, decode_item
from recommender.messages.ratings import BadMessage
from recommender.messages.refusals import Kind


def info(**fields: Any) -> ItemInfo | None:
    return decode_item(b"50", json.dumps(fields).encode())[1]


def test_every_field() -> None:
    given = {
        "item": "50",
        "title": "Star Wars (1977)",
        "available": False,
        "categories": ["Sci-Fi", "Action", "Action"],
        "until": 1_800_000_000,
        "boost": 1.5,
        "vector": [0.1, 0.2],
    }
    expected = ItemInfo("Star Wars (1977)", False, ("Action", "Sci-Fi"), 1_800_000_000, 1.5)
    assert info(**given) == expected
    packed = msgspec.msgpack.encode(given)
    assert decode_item(b"50", packed, [("content-type", b"application/msgpack")]) == ("50", expected)


def test_what_is_left_out_or_null_is_as_nothing_said() -> None:
    nothing = dict.fromkeys(("item", "title", "available", "categories", "until", "boost"))
    assert info() == info(**nothing) == ItemInfo(None, True, (), math.inf, 1.0)


def test_the_key_names_the_item_and_null_says_that_it_is_gone() -> None:
    assert decode_item("ä/b%".encode(), None) == ("ä/b%", None)
    assert decode_item(None, b'{"item": 50}') == ("50", ItemInfo())
    assert decode_item(b"50", b'{"item": 50}') == ("50", ItemInfo())


@pytest.mark.parametrize(
    "until", ["2030-01-31T12:00:00Z", "2030-01-31T12:00Z", "2030-01-31T13:00:00+01:00", 1_896_091_200]
)
def test_times(until: Any) -> None:
    found = info(until=until)
    assert found is not None
    assert found.until == 1_896_091_200


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (None, None, Kind.NULL_VALUE),
        (None, b"{}", Kind.MISSING_FIELD),
        (b"", b"{}", Kind.BAD_ITEM),
        (b"\xff", b"{}", Kind.BAD_ITEM),
        (b"x" * 257, None, Kind.BAD_ITEM),
        (b"50", b'{"item": "51"}', Kind.BAD_ITEM),
        (b"50", b"not json", Kind.NOT_JSON),
        (b"50", b"[]", Kind.NOT_AN_OBJECT),
        (b"50", b'{"title": "' + b"x" * 1_000_000 + b'"}', Kind.TOO_LARGE),
        (b"50", b'{"title": "' + b"x" * 2_000 + b'"}', Kind.BAD_FIELD),
        (b"50", b'{"x": ' + b"[" * 1000, Kind.TOO_DEEP),
        (b"50", json.dumps({"categories": ["c"] * 10_000}).encode(), Kind.BAD_FIELD),
        (b"50", json.dumps({"categories": ["c"] * (MAX_CATEGORIES + 1)}).encode(), Kind.BAD_FIELD),
        (b"50", b'{"categories": [""]}', Kind.BAD_FIELD),
        (b"50", b'{"categories": "Action"}', Kind.BAD_FIELD),
        (b"50", b'{"available": "yes"}', Kind.BAD_FIELD),
        (b"50", b'{"until": "tomorrow"}', Kind.BAD_FIELD),
        (b"50", b'{"until": "2030-01-31T12:00:00"}', Kind.BAD_FIELD),
        (b"50", b'{"until": -1}', Kind.BAD_FIELD),
        *[
            (b"50", b'{"boost": %s}' % boost, Kind.BAD_FIELD)
            for boost in (
                b"0",
                b"-1",
                b"1e9",
                b'"high"',
                str(MIN_BOOST / 2).encode(),
                b"%f" % (MAX_BOOST * 2),
            )
        ],
        *[(b"50", b'{"boost": %s}' % boost, Kind.NOT_JSON) for boost in (b"NaN", b"Infinity")],
    ],
)
def test_what_is_no_items_record(key: bytes | None, value: bytes | None, kind: Kind) -> None:
    with pytest.raises(BadMessage) as caught:
        decode_item(key, value)
    assert caught.value.kind == kind
    assert len(str(caught.value)) < 300
