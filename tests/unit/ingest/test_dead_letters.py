"""Dead letters that their topic does not take as they are: each step keeps what it can, and ends."""

from __future__ import annotations

import hashlib
import logging

import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
)
from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.dead_letters import QUIET_SECONDS, LesserLetters, lesser
from recommender.kafka.refusals import InvalidRecord
from recommender.messages.records import Outgoing
from tests.support.doubles import few

OURS = [
    ("__connect.errors.topic", b"ratings"),
    ("__connect.errors.partition", b"3"),
    ("__connect.errors.offset", b"42"),
    ("__connect.errors.exception.message", b"malformed"),
]
TOO_LARGE, NO_KEY, BAD_TIME = MessageSizeTooLargeError(), InvalidRecord(), InvalidTimestampError()


def letter(key: bytes | None = b"key", value: bytes | None = b"value", timestamp: int = 1000) -> Outgoing:
    return Outgoing(3, key, value, timestamp, [("own", b"1"), *OURS])


def digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def test_one_that_does_not_fit_is_written_without_its_value_and_then_without_all_but_our_headers() -> None:
    first = lesser(letter(), TOO_LARGE)
    assert first is not None
    assert (first.key, first.value, first.timestamp) == (b"key", None, 1000)
    about_value = [
        ("__connect.errors.value.length", b"5"),
        ("__connect.errors.value.sha256", digest(b"value")),
    ]
    assert first.headers == [("own", b"1"), *OURS, *about_value]
    second = lesser(first, TOO_LARGE)
    assert second is not None
    assert (second.key, second.value) == (b"3:42", None)
    assert second.headers == [
        *OURS,
        *about_value,
        ("__connect.errors.headers.count", b"1"),
        ("__connect.errors.key.length", b"3"),
        ("__connect.errors.key.sha256", digest(b"key")),
    ]
    assert lesser(second, TOO_LARGE) is None


def test_one_without_a_key_gets_its_place_for_one() -> None:
    first = lesser(letter(key=None), NO_KEY)
    assert first is not None
    assert first == letter(key=b"3:42")
    assert lesser(first, NO_KEY) is None


def test_one_whose_time_is_refused_is_written_now() -> None:
    first = lesser(letter(), BAD_TIME)
    assert first is not None
    assert first.timestamp == -1
    assert first.headers[-1] == ("__connect.errors.timestamp", b"1000")
    assert lesser(first, BAD_TIME) is None


def test_other_errors_are_not_about_the_letter() -> None:
    assert lesser(letter(), TopicAuthorizationFailedError("ratings-dlt")) is None


def test_a_letter_that_was_replayed_tells_of_its_last_failure() -> None:
    again = letter(key=None)._replace(headers=[*OURS, ("__connect.errors.topic", b"ratings"), *OURS[1:2]])
    again.headers.append(("__connect.errors.offset", b"99"))
    less = lesser(again, NO_KEY)
    assert less is not None
    assert less.key == b"3:99"


headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)


@few
@given(
    st.none() | st.binary(max_size=9),
    st.none() | st.binary(max_size=9),
    headers,
    st.lists(st.sampled_from([TOO_LARGE, NO_KEY, BAD_TIME]), min_size=12, max_size=12),
)
def test_there_is_an_end_and_our_headers_stay(
    key: bytes | None,
    value: bytes | None,
    own: list[tuple[str, bytes]],
    errors: list[KafkaError],
) -> None:
    now = Outgoing(3, key, value, 5, [*own, *OURS])
    steps = 0
    for error in errors:
        less = lesser(now, error)
        if less is not None:
            steps += 1
            assert set(OURS) <= set(less.headers)
            assert less.partition == 3
            now = less
    assert steps <= 4


def test_only_the_first_is_told_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    letters = LesserLetters(lambda: now[0])
    for _ in range(3):
        assert letters(letter(), TOO_LARGE) is not None
    now[0] = QUIET_SECONDS
    assert letters(letter(key=None), NO_KEY) is not None
    with caplog.at_level(logging.WARNING):
        assert letters(letter(), TopicAuthorizationFailedError()) is None
    first, later = caplog.messages
    assert first.startswith("ratings[3] offset 42: its dead letter is refused as it is (")
    assert "__connect.errors.value.length, __connect.errors.value.sha256; 0 others" in first
    assert "is written with a key; 2 others" in later
