"""Arguments of a request: what is meant is sent, and what cannot be meant is refused by its name."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import numpy as np
import pytest

from recommender.client import arguments
from recommender.client.messages import encode_request
from recommender.client.ratings import encode_rating
from recommender.messages.requests import decode_request


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    ONE = 1


class Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


#: What is taken for an id, and the id that it is.
IDS: list[tuple[Any, str]] = [
    ("42", "42"),
    (42, "42"),
    (-7, "-7"),
    (10**255, "1" + "0" * 255),
    (np.int64(42), "42"),
    (np.uint8(7), "7"),
    (np.str_("é"), "é"),
    (Colour.RED, "red"),
    (Level.ONE, "1"),
    (Shouting("x"), "x"),
    (" a\x00\n", " a\x00\n"),
    ("é" * 128, "é" * 128),
]

#: What is not, the class of its error, and what that must say.
NO_IDS: list[tuple[Any, type[Exception], str]] = [
    (b"42", TypeError, r"must be a str or an int, got b'42' \(bytes\)"),
    (42.0, TypeError, r"must be a str or an int, got 42.0 \(float\)"),
    (np.float64(42), TypeError, "must be a str or an int"),
    (math.nan, TypeError, r"must be a str or an int, got nan \(float\)"),
    (True, TypeError, r"must be a str or an int, got True \(bool\)"),
    (np.True_, TypeError, "must be a str or an int"),
    (Decimal(42), TypeError, "must be a str or an int"),
    (uuid.UUID(int=1), TypeError, "must be a str or an int"),
    (["42"], TypeError, r"must be a str or an int, got \['42'\] \(list\)"),
    ({"id": 42}, TypeError, "must be a str or an int"),
    (np.array([1, 2]), TypeError, r"must be a str or an int, got array\(\[1, 2\]\) \(ndarray\)"),
    ("", ValueError, "is empty"),
    ("u" * 257, ValueError, "has 257 bytes: expected at most 256"),
    ("é" * 129, ValueError, "has 258 bytes: expected at most 256"),
    ("\ud800", ValueError, "holds half a character at 0"),
    ("a\udfffb", ValueError, "holds half a character at 1"),
    (10**256, ValueError, "has more than 256 digits"),
    (-(10**5000), ValueError, "has more than 256 digits"),
]


@pytest.mark.parametrize(("given", "meant"), IDS)
def test_what_is_an_id_is_sent_as_its_text(given: Any, meant: str) -> None:
    rated = json.loads(encode_rating(given, given, 5))
    assert (rated["user"], rated["item"]) == (meant, meant)
    asked = json.loads(encode_request(given, items=[given], exclude=[given]))
    assert (asked["user"], asked["items"], asked["exclude"]) == (meant, [meant], [meant])
    assert json.loads(encode_request(None, similar_to=given))["similar_to"] == meant


@pytest.mark.parametrize(("wrong", "error", "told"), NO_IDS, ids=range(len(NO_IDS)))
def test_what_is_no_id_is_refused_by_its_name(wrong: Any, error: type[Exception], told: str) -> None:
    calls: list[tuple[str, Callable[[], bytes]]] = [
        ("user", lambda: encode_rating(wrong, "x", 4)),
        ("item", lambda: encode_rating("x", wrong, 4)),
        (r"items\[1\]", lambda: encode_request("1", items=["a", wrong])),
        (r"exclude\[0\]", lambda: encode_request("1", exclude=[wrong])),
        ("user", lambda: encode_request(wrong)),
        ("similar_to", lambda: encode_request(None, similar_to=wrong)),
    ]
    for name, call in calls:
        with pytest.raises(error, match=rf"^{name} {told}"):
            call()


def test_none_is_nobody() -> None:
    nobody: Any = None
    with pytest.raises(TypeError, match=r"^user must be a str or an int, got None"):
        encode_rating(nobody, "x", 4)
    with pytest.raises(TypeError, match=r"^item must be a str or an int, got None"):
        encode_rating("x", nobody, 4)
    with pytest.raises(TypeError, match=r"^items\[0\] must be a str or an int, got None"):
        encode_request("1", items=[nobody])


@pytest.mark.parametrize(
    "items",
    [
        ["1", 2],
        ("1", 2),
        (each for each in ("1", 2)),
        iter(["1", 2]),
        {"1": 0, 2: 0}.keys(),
        [np.int64(1), np.int64(2)],
        np.array([1, 2]),
        np.array(["1", "2"]),
    ],
    ids=["list", "tuple", "generator", "iterator", "keys", "numpy's integers", "array", "array of text"],
)
def test_whatever_gives_ids_is_a_list_of_them(items: Any) -> None:
    assert json.loads(encode_request("u", items=items))["items"] == ["1", "2"]


@pytest.mark.parametrize("name", ["items", "exclude"])
@pytest.mark.parametrize("given", ["50", b"50", bytearray(b"50"), 50, 5.0, {"50": 1}, object()])
def test_what_is_no_list_of_ids_is_refused(name: str, given: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name} must be a list of ids, got "):
        encode_request("1", **{name: given})


def test_lists_have_at_most_ten_thousand_ids() -> None:
    def endless() -> Iterator[int]:
        number = 0
        while True:
            yield (number := number + 1)

    assert len(json.loads(encode_request("1", items=range(10_000)))["items"]) == 10_000
    with pytest.raises(ValueError, match=r"^items has more than 10000 ids"):
        encode_request("1", items=endless())
    assert json.loads(encode_request("1", exclude=None)) == {"user": "1", "n": 10}


@pytest.mark.parametrize(
    ("name", "given", "error", "told"),
    [
        ("n", 0, ValueError, r"must be an integer between 1 and 1000, got 0 \(int\)"),
        ("n", 1001, ValueError, "must be an integer between 1 and 1000, got 1001"),
        ("n", 10.0, TypeError, r"must be an integer between 1 and 1000, got 10.0 \(float\)"),
        ("n", True, TypeError, "must be an integer"),
        ("n", "10", TypeError, "must be an integer"),
        ("n", None, TypeError, "must be an integer between 1 and 1000, got None"),
        ("after", -1, ValueError, r"must be an integer of at least 0, got -1"),
        ("after", 2**63, ValueError, r"must be an integer of at least 0, got 9223372036854775808"),
        ("after", 1.5, TypeError, "must be an integer"),
        ("after", (0, 7), TypeError, r"must be an integer of at least 0, got \(0, 7\) \(tuple\)"),
        ("include_rated", 1, TypeError, r"must be True or False, got 1 \(int\)"),
        ("include_rated", "no", TypeError, "must be True or False"),
        ("explain", None, TypeError, "must be True or False, got None"),
        ("arm", "", ValueError, "is empty"),
        ("arm", 5, TypeError, r"must be a str, got 5 \(int\)"),
        ("arm", "x" * 257, ValueError, "has 257 bytes"),
        ("arm", "\ud800", ValueError, "holds half a character"),
        ("explore", math.nan, ValueError, "must be between 0 and 1, got nan"),
        ("explore", 1.5, ValueError, "must be between 0 and 1, got 1.5"),
        ("explore", "0.5", TypeError, "must be a number between 0 and 1"),
        ("explore", True, TypeError, "must be a number between 0 and 1"),
    ],
)
def test_the_other_arguments_are_refused_by_their_names(
    name: str, given: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=rf"^{name} {told}"):
        encode_request("1", **{name: given})


def test_the_other_arguments_may_be_numpys() -> None:
    given = {"n": np.int32(3), "after": np.int64(7), "include_rated": np.True_, "explore": np.float32(0.5)}
    request = decode_request(encode_request("1", **given))  # type: ignore[arg-type]
    assert (request.n, request.after, request.include_rated, request.explore) == (3, 7, True, 0.5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"user": None}, "expected either user or similar_to, got neither"),
        ({"user": "1", "similar_to": "2"}, "expected either user or similar_to, got both"),
        ({"user": None, "similar_to": "2", "explain": True}, "explain is about a user"),
        ({"user": None, "similar_to": "2", "explore": 0.5}, "explore is about a user"),
    ],
)
def test_a_request_is_about_a_user_or_an_item(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        encode_request(**fields)


@pytest.mark.parametrize("given", [0, -1, math.nan, math.inf, 1e300])
def test_a_time_to_wait_is_positive_and_not_for_ever(given: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be a positive number of seconds, got "):
        arguments.seconds("timeout", given)


def test_a_time_to_wait_is_a_number() -> None:
    assert arguments.seconds("timeout", np.float32(2.5)) == 2.5
    assert arguments.seconds("connect_timeout", 0, or_none=True) == 0
    for wrong in ("5", None, True, timedelta(seconds=5)):
        with pytest.raises(TypeError, match=r"^timeout must be a positive number of seconds, got "):
            arguments.seconds("timeout", wrong)
    with pytest.raises(ValueError, match=r"^connect_timeout must be a number of seconds that"):
        arguments.seconds("connect_timeout", -1, or_none=True)


def test_addresses_are_text() -> None:
    assert arguments.addresses("a:1,b:2") == arguments.addresses(["a:1", "b:2"]) == "a:1,b:2"
    for wrong in (b"a:1", None, 9092, ["a:1", None], {"a:1": 1}):
        with pytest.raises(TypeError, match=r"^bootstrap_servers"):
            arguments.addresses(wrong)
