"""What is left out of a list: by the request, by the settings, and where nothing is known of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from recommender.items.shown import ShownList, ShownStore
from recommender.messages.requests import Request
from recommender.messages.responses import Failure
from recommender.worker.not_again import HOUR, NotAgain


def not_again(times: int = 0, lacks: str = "") -> NotAgain:
    store, now = ShownStore(), time.time()
    shown = [("first", 5, ["a", "b"]), ("second", 3, ["b", "c"]), ("third", 1, ["c", "d"])]
    store.put([ShownList("u", name, now - ago * HOUR, items) for name, ago, items in shown])
    return NotAgain(store, times, 12.0, lacks)


def hidden(known: NotAgain, identity: bytes = b"", **asked: Any) -> set[str]:
    found = known.hidden(Request(**{"user": "u", **asked}), identity)
    return set() if found is None else set(found.items)


@pytest.mark.parametrize(
    ("times", "asked", "expected"),
    [
        (0, {}, ""),
        (0, {"hide_seen": 1}, "abcd"),
        (0, {"hide_seen": 2}, "bc"),
        (0, {"hide_seen": 1, "hide_seen_for": 2}, "cd"),
        (2, {}, "bc"),
        (2, {"hide_seen_for": 4}, "c"),
        (2, {"hide_seen": 0}, ""),
        (2, {"hide_seen": 0, "hide_seen_for": 4}, ""),
        (1, {"user": "nobody"}, ""),
        (1, {"user": None, "popular": True}, ""),
    ],
)
def test_the_request_wins_over_the_settings(times: int, asked: dict[str, Any], expected: str) -> None:
    assert hidden(not_again(times), **asked) == set(expected)


def test_a_request_that_is_answered_again_does_not_hide_its_own_list() -> None:
    assert hidden(not_again(1), b"third") == set("abc")


@pytest.mark.parametrize(
    ("lacks", "asked", "told"),
    [
        ("there is no log", {"hide_seen": 1}, "`hide_seen` is asked for, but there is no log"),
        ("", {"hide_seen": 1, "hide_seen_for": 13}, "RECOMMENDER_HIDE_SEEN_FOR is 12"),
        ("", {"hide_seen_for": 3}, "`hide_seen_for` goes with `hide_seen`"),
    ],
)
def test_what_cannot_be_is_said(lacks: str, asked: dict[str, Any], told: str) -> None:
    with pytest.raises(Failure, match=told) as caught:
        hidden(not_again(0, lacks), **asked)
    assert caught.value.code == "bad_request"


def test_who_asks_for_nothing_needs_no_log() -> None:
    assert hidden(not_again(0, "there is no log")) == set()
