"""Requests as queries of an address."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages.ratings import BadMessage
from recommender.messages.requests import After, decode_request
from recommender.web.queries import MAX_PARAMETERS, item_of, request_of
from tests.support.doubles import few


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("", {}),
        ("user=42&n=10", {"user": "42", "n": 10}),
        ("user=1&user=2", {"user": "2"}),
        ("items=1&items=2&exclude=3", {"items": ["1", "2"], "exclude": ["3"]}),
        ("explain=true&include_rated=0", {"explain": True, "include_rated": False}),
        ("explain=perhaps", {"explain": "perhaps"}),
        ("explore=0.5&n=x", {"explore": 0.5, "n": "x"}),
        ("n=1e999&n2=nan", {"n": "1e999", "n2": "nan"}),
        ("after=7", {"after": 7}),
        ("after=3:7", {"after": {"partition": 3, "offset": 7}}),
        ("after=journal:7", {"after": {"journal": 7}}),
        ("after=journal:", {"after": {"journal": ""}}),
        ("user=a%2Fb%25+c", {"user": "a/b% c"}),
        ("future=field", {"future": "field"}),
    ],
)
def test_fields(query: str, fields: dict[str, Any]) -> None:
    assert json.loads(request_of(query)) == fields


def test_what_is_given_wins() -> None:
    assert json.loads(request_of("similar_to=1&n=2", similar_to="a")) == {"similar_to": "a", "n": 2}


@pytest.mark.parametrize("query", ["user=%ff", "&".join(["exclude=1"] * (MAX_PARAMETERS + 1))])
def test_what_is_no_query(query: str) -> None:
    with pytest.raises(BadMessage, match="the query"):
        request_of(query)


@few
@given(st.text(min_size=1, max_size=60), st.integers(1, 1000), st.lists(st.text(min_size=1, max_size=20)))
def test_any_ids_come_through(user: str, n: int, exclude: list[str]) -> None:
    query = urlencode({"user": user, "n": n, "exclude": exclude, "after": "2:3"}, doseq=True)
    request = decode_request(request_of(query))
    assert (request.user, request.n, request.exclude) == (user, n, exclude)
    assert request.after == After(partition=2, offset=3)


@few
@given(st.text(min_size=1))
def test_any_item_comes_through_a_path(item: str) -> None:
    assert item_of(quote(item, safe="")) == item


def test_an_item_that_is_not_utf_8() -> None:
    with pytest.raises(BadMessage, match="not UTF-8"):
        item_of("%ff")


@few
@given(st.text("ab=&;?/#.", max_size=30))
def test_a_query_without_escapes_is_read_as_any_other(query: str) -> None:
    fields: dict[str, list[str]] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        fields[name] = [*fields.get(name, []), text]
    assert json.loads(request_of(query)) == {name: texts[-1] for name, texts in fields.items()}
