"""The file of the sources: what it may say, and errors that name file, table and the nearest key."""

from __future__ import annotations

import re
from pathlib import Path as File

import pytest

from recommender.ingest.sources.file import load, parse
from recommender.ingest.sources.mapping import Meaning, SourcesError, Steps
from recommender.ingest.sources.paths import Path
from tests.unit.ingest.sources.records import HIGH, LOW, mapping

FULL = """
[clicks]
topic = "shop.clicks"
format = "json"
user = "user.id"
item = "product.sku"
event = "type"
time = "ts"
time_unit = "ms"
start = 2026-01-31T12:00:00Z
[clicks.where]
"device.kind" = ["phone", 1, true]
[clicks.events]
view = 1
bought = "rating"
gone = "withdraw"
watch = {of = "seconds", per = "duration", at = [[0.1, 1], [0.5, 3]]}
"""


def test_a_table_is_a_source() -> None:
    found = mapping(FULL)
    assert (found.name, found.topic, found.format, found.time_unit) == ("clicks", "shop.clicks", "json", "ms")
    assert found.user == Path("", ("user", "id"))
    assert found.start == 1769860800.0
    assert found.events["view"] == 1.0
    assert found.events["bought"] is Meaning.RATING
    assert found.events["*"] is Meaning.SKIP
    assert found.events["watch"] == Steps(
        Path("", ("seconds",)), Path("", ("duration",)), ((0.1, 1.0), (0.5, 3.0))
    )
    assert found.where == {
        Path("", ("device", "kind")): frozenset({(False, "phone"), (False, 1), (True, True)})
    }


def test_what_is_left_out_has_a_default() -> None:
    found = mapping("[ratings-of-films]")
    assert (found.topic, found.format, found.envelope) == ("ratings-of-films", "auto", "none")
    assert [str(each) for each in (found.user, found.item, found.rating)] == ["$.user", "$.item", "$.rating"]
    assert (found.time, found.time_unit, found.start) == (None, "auto", "earliest")


def test_events_of_cloud_events_are_their_type() -> None:
    text = '[a]\nenvelope = "cloudevents"\n[a.events]\ncreated = 5'
    assert mapping(text).event == Path("@ce", ("type",))


def test_a_setting_is_a_file_or_its_content(tmp_path: File) -> None:
    file = tmp_path / "sources.toml"
    file.write_text("[a]\n[b]\n", "utf-8")
    assert [each.name for each in load(str(file), LOW, HIGH)] == ["a", "b"]
    assert [each.name for each in load("[a]\nuser = 'u'", LOW, HIGH)] == ["a"]
    assert load("", LOW, HIGH) == []


BAD = [
    ("[a]\nusr = 'x'", "[a]: 'usr' is no key; the nearest is 'user'"),
    ("[a]\nuser = ''", "[a]: user has value '': expected the name of a field"),
    ("[a]\nuser = 'x..y'", "[a]: user has value 'x..y': expected names separated by dots"),
    ("[a]\nuser = 5", "[a]: user has value 5: expected a path"),
    ("[a]\nuser = '@keys'", "[a]: user has value '@keys': expected @key, @header, @ce, @topic or a field"),
    ("[a]\nuser = '@header'", "[a]: user has value '@header': expected one name after @header"),
    ("[a]\nuser = '@topic.x'", "[a]: user has value '@topic.x': @topic is text"),
    ("[a]\nformat = 'xml'", "[a]: format has value 'xml': expected one of auto, json, msgpack"),
    ("[a]\nenvelope = 'soap'", "[a]: envelope has value 'soap': expected one of none, debezium"),
    ("[a]\ntime_unit = 'm'", "[a]: time_unit has value 'm': expected one of auto, s"),
    ("[a]\nrating = 6", "[a]: rating has value 6: expected 0.5 to 5, the scale of ratings"),
    ("[a]\nscale = [5, 1]", "[a]: scale has value [5, 1]: expected [low, high]"),
    ("[a]\nrating = 1\nscale = [1, 5]", "[a]: scale is for ratings that are read"),
    ("[a]\nitem = '.sku'", "[a]: item begins with a dot: expected `each`"),
    ("[a]\neach = '.lines'", "[a]: each begins with a dot"),
    ("[a]\neach = 'x'\nenvelope = 'debezium'", "[a]: `each` is not for envelope debezium"),
    ("[a]\nevent = 'type'", "[a]: `events` is missing: expected both"),
    ("[a]\n[a.events]\nview = 1", "[a]: `event` is missing: expected both"),
    ("[a]\nevent = 'x'\n[a.events]\nview = 9", "[a]: events 'view' has value 9: expected 0.5 to 5"),
    ("[a]\nevent = 'x'\n[a.events]\nview = 'drop'", "[a]: events 'view' has value 'drop': expected a number"),
    (
        "[a]\nevent = 'x'\n[a.events]\nw = {of = 'x', al = 1}",
        "[a]: events 'w': 'al' is no key; the nearest is 'at'",
    ),
    ("[a]\nevent = 'x'\n[a.events]\nw = {at = [[1, 1]]}", "expected {of = PATH, per = PATH, at ="),
    ("[a]\nevent = 'x'\n[a.events]\nw = {of = 'x', at = [1]}", "expected [share, rating]"),
    ("[a]\nevent = 'x'\n[a.events]\nw = {of = 'x', at = [[1, 1], [0, 2]]}", "expected ascending shares"),
    ("[a]\nwhere = 'x'", "[a]: where has value 'x': expected {path = [values]}"),
    ("[a]\nwhere = {x = [[]]}", "expected a list of texts, numbers or true and false"),
    ("[a]\nstart = 'soon'", "[a]: start has value 'soon': expected earliest, latest or a time"),
    ("[a]\ntopic = 't'\n[t]", "[a] and [t] both read topic 't': expected one table for each topic"),
    ("a = 5", "a has value 5: expected a table [a]"),
    ("[a", "is not TOML"),
    ("", "has no table"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=[text for text, _ in BAD])
def test_what_cannot_be_is_said(text: str, told: str) -> None:
    with pytest.raises(SourcesError) as caught:
        parse(text, "my.toml", LOW, HIGH)
    assert str(caught.value).startswith("my.toml")
    assert told in str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(
        SourcesError, match=r"RECOMMENDER_SOURCES has value 'no\.toml': cannot read this file"
    ):
        load("no.toml", LOW, HIGH)


def test_the_fingerprint_is_of_what_is_learned() -> None:
    first = mapping("[a]\nuser = 'x'").fingerprint
    assert first == mapping("[b]\nuser = 'x'\nstart = 'latest'\ntopic = 'c'").fingerprint
    others = ["user = 'y'", "user = 'x'\nscale = [1, 5]", "user = 'x'\nwhere = {a = ['b']}"]
    assert first not in {mapping(f"[a]\n{each}").fingerprint for each in others}
    assert 0 < first < 1 << 32


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ('a."b.c"', ("a", "b.c")),
        (r'"say \"x\"".é', ('say "x"', "é")),
        ("@key.id", ("id",)),
        ("@header.X-Tenant", ("X-Tenant",)),
        ('@header."a.b"', ("a.b",)),
        (".sku", ("sku",)),
        ("@key", ()),
    ],
)
def test_paths(text: str, steps: tuple[str, ...]) -> None:
    assert Path.parse(text).steps == steps


def test_the_examples_of_the_page_can_be_used() -> None:
    page = File(__file__).parents[4] / "docs" / "sources.md"
    tables = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    found = [each for text in tables for each in parse(text, "docs/sources.md", LOW, HIGH)]
    assert [each.name for each in found] == [
        "film-ratings",
        "shop.public.ratings",
        "reviews",
        "orders-rated",
        "clicks",
        "views",
        "orders",
        "shop.public.users",
        "erasure-requests",
        "page-events",
    ]
