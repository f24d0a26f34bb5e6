"""Records of the recommendations log: what was shown comes back, and what is none is told."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages.ratings import BadMessage
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation, decode

IDS = st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable())
SHOWN = LoggedRecommendation("42", "7f", "default", "cooc", "cooc", 1.5, [LoggedPlace("50", "explore", 0)])


@given(
    st.builds(
        LoggedRecommendation,
        IDS,
        IDS,
        IDS,
        IDS,
        IDS,
        st.floats(0, 1e10),
        st.lists(st.builds(LoggedPlace, IDS, st.sampled_from(["exploit", "explore"]), st.integers(0, 999))),
        st.booleans(),
    )
)
def test_what_was_shown_comes_back(shown: LoggedRecommendation) -> None:
    assert decode(shown.encode()) == shown


def test_the_wire_is_plain_json() -> None:
    assert json.loads(SHOWN.encode()) == {
        "user": "42",
        "request": "7f",
        "experiment": "default",
        "arm": "cooc",
        "model": "cooc",
        "timestamp": 1.5,
        "items": [{"item": "50", "source": "explore", "position": 0}],
    }
    forced = msgspec.structs.replace(SHOWN, forced=True)
    assert json.loads(forced.encode())["forced"] is True
    more = json.loads(SHOWN.encode()) | {"added": "later"}
    assert decode(json.dumps(more).encode()) == SHOWN


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "the value is null"),
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"\xff", "malformed"),
        (b'{"user": "\xff"}', "UTF-8"),
        (b'{"x":' + b"[" * 100_000, "nested too deeply"),
        ({"user": 42}, r"Expected `str`, got `int` - at `\$.user`"),
        ({"user": ""}, r"length >= 1 - at `\$.user`"),
        ({"arm": None}, r"`\$.arm`"),
        ({"timestamp": -1}, r"`\$.timestamp`"),
        ({"timestamp": 1.7e12}, r"`\$.timestamp`"),
        ({"items": [{"item": "x", "source": "exploit", "position": -1}]}, r"`\$.items\[0\].position`"),
        ({"items": [{"item": "x", "source": "exploit"}]}, "missing required field `position`"),
    ],
)
def test_what_is_none_is_told(value: bytes | dict[str, object] | None, told: str) -> None:
    if isinstance(value, dict):
        value = json.dumps(json.loads(SHOWN.encode()) | value).encode()
    with pytest.raises(BadMessage, match=told):
        decode(value)
