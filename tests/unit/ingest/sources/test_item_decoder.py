"""Sources of items: their tables, and what their records say."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest

from recommender.ingest.sources import file
from recommender.ingest.sources.item_decoder import ItemDecoder
from recommender.ingest.sources.items_file import parse
from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.outcomes import Skip
from recommender.messages.items import ItemInfo
from recommender.messages.ratings import BadMessage
from tests.unit.ingest.sources.records import record

TABLE = """
[products]
kind = "items"
topic = "shop.products"
item = "sku"
title = "name.en"
available = "stock"
categories = "tags"
until = "ends"
boost = "promotion"
deleted = "gone"
where = {shop = ["nl"]}
"""
WHOLE = {
    "sku": 7,
    "name": {"en": "Lamp"},
    "stock": 3,
    "tags": ["b", "a", "a"],
    "ends": "2030-01-01",
    "shop": "nl",
    "promotion": 1.5,
}


def decoder(table: str = TABLE) -> ItemDecoder:
    (mapping,) = parse(table, "sources.toml")
    return ItemDecoder(mapping)


def said(value: Any, table: str = TABLE, key: bytes | None = b"7") -> list[tuple[str, ItemInfo | None]]:
    given = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return decoder(table).decode(record(given, key))


def test_a_record_says_all_that_its_table_maps() -> None:
    assert said(WHOLE) == [("7", ItemInfo("Lamp", True, ("a", "b"), 1893456000.0, 1.5))]
    assert said({"sku": "x", "shop": "nl"}) == [("x", ItemInfo())]
    assert said({"sku": "x", "shop": "nl", "gone": "true"}) == [("x", None)]
    packed = TABLE.replace('"sku"', '"sku"\nformat = "msgpack"')
    assert said(msgspec.msgpack.encode(WHOLE), packed) == said(WHOLE)


@pytest.mark.parametrize(
    ("stock", "available"),
    [
        *[(True, True), (False, False), (None, True), (0, False), (-1, False), (0.5, True)],
        *[("12", True), ("0", False), ("true", True), ("no", False), ("", False)],
    ],
)
def test_available_is_a_flag_or_a_number(stock: object, available: bool) -> None:
    ((_, info),) = said({**WHOLE, "stock": stock})
    assert info is not None
    assert info.available == available


def test_categories_may_be_one_and_numbers() -> None:
    for tags, expected in (("a", ("a",)), ([3, "b"], ("3", "b")), (None, ()), ([], ())):
        ((_, info),) = said({**WHOLE, "tags": tags})
        assert info is not None
        assert info.categories == expected


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sku": None}, "`$.sku`"),
        ({"sku": "x" * 300}, "at most 256 bytes"),
        ({"name": {"en": ["x"]}}, "Expected `str`, got `array` - at `$.name.en`"),
        ({"name": {"en": "x" * 1001}}, "length <= 1000"),
        ({"stock": []}, "`$.stock`"),
        ({"tags": [["a"]]}, "`$.tags[0]`"),
        ({"tags": [""]}, "`$.tags`"),
        ({"tags": [f"c{number}" for number in range(101)]}, "length <= 100"),
        ({"ends": "soon"}, "ISO 8601"),
        ({"promotion": 0}, "a boost from 0.1 to 10, got 0"),
        ({"promotion": "much"}, "Expected a number"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(change: dict[str, Any], told: str) -> None:
    with pytest.raises(BadMessage) as caught:
        said({**WHOLE, **change})
    assert told in str(caught.value)
    assert str(caught.value).endswith("of source `products`")


@pytest.mark.parametrize("value", [b"not json", b"[1]", b"[" * 5000, b"7", b"\xff"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(BadMessage):
        said(value)


def test_what_is_not_meant_says_nothing() -> None:
    for value in ({**WHOLE, "shop": "de"}, {"sku": "7"}, None):
        with pytest.raises(Skip):
            said(value)


def test_by_its_key_a_null_is_an_item_that_is_gone() -> None:
    table = '[products]\nkind = "items"\ntitle = "name"'
    assert said({"name": "Lamp"}, table) == [("7", ItemInfo("Lamp"))]
    assert said(None, table) == [("7", None)]
    with pytest.raises(BadMessage):
        said(None, table, None)


def test_a_table_of_a_database_through_debezium() -> None:
    table = '[products]\nkind = "items"\nenvelope = "debezium"\nitem = "id"\ntitle = "name"'
    row, other = {"id": 7, "name": "Lamp"}, {"id": 8, "name": "Lamp"}
    assert said({"op": "c", "before": None, "after": row}, table) == [("7", ItemInfo("Lamp"))]
    assert said({"payload": {"op": "u", "before": row, "after": row}}, table) == [("7", ItemInfo("Lamp"))]
    assert said({"op": "u", "before": row, "after": other}, table) == [("7", None), ("8", ItemInfo("Lamp"))]
    assert said({"op": "d", "before": row, "after": None}, table) == [("7", None)]
    with pytest.raises(BadMessage, match="REPLICA IDENTITY FULL"):
        said({"op": "d", "before": None, "after": None}, table)
    with pytest.raises(Skip):
        said({"op": "t"}, table)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('"items"', '"goods"'), "kind has value 'goods': expected one of ratings, items"),
        (("title", "titel"), "'titel' is no key; the nearest is 'title'"),
        (('"tags"', '".tags"'), "begins with a dot"),
        (('"sku"', '"sku"\nformat = "avro"'), "format has value 'avro': expected one of auto, json, msgpack"),
        (('"sku"', '"sku"\nuser = "u"'), "'user' is no key"),
    ],
)
def test_a_table_that_cannot_be_says_where(change: tuple[str, str], told: str) -> None:
    with pytest.raises(SourcesError) as caught:
        parse(TABLE.replace(*change), "sources.toml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("sources.toml: [products]")


def test_tables_of_ratings_and_of_items_stand_side_by_side() -> None:
    text = TABLE + '[clicks]\nuser = "u"\nrating = 5\n'
    assert [each.name for each in parse(text, "f")] == ["products"]
    assert [each.name for each in file.parse(text, "f", 0.5, 5.0)] == ["clicks"]
    with pytest.raises(SourcesError, match=r"both read topic 'shop\.products'"):
        parse(TABLE + TABLE.replace("[products]", "[again]"), "f")
    with pytest.raises(SourcesError, match="says nothing of an item"):
        parse('[products]\nkind = "items"', "f")
    assert math.isinf(ItemInfo().until)
