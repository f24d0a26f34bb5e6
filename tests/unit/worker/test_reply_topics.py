"""Which reply topics are allowed, and how long one that is missing is left alone."""

from __future__ import annotations

import pytest
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError

from recommender.messages.responses import Failure
from recommender.worker.replies import reason
from recommender.worker.reply_topics import CLOSED_SECONDS, MAX_CLOSED, ReplyTopics

MISSING = UnknownTopicOrPartitionError()


class Clock:
    """A time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def topics(clock: Clock) -> ReplyTopics:
    return ReplyTopics(["responses", "*-replies"], clock)


def is_left_alone(topics: ReplyTopics, topic: str) -> bool:
    """Whether a reply to it fails without being tried."""
    try:
        topics.check(topic)
    except UnknownTopicOrPartitionError:
        return True
    return False


def test_patterns_allow(topics: ReplyTopics) -> None:
    assert topics.allowed(b"responses") == "responses"
    assert topics.allowed(b"shop-replies") == "shop-replies"
    for refused in (b"", b"Responses", b"shop-replies-2", b"\xff"):
        with pytest.raises(Failure, match=r"is not one of: responses, \*-replies"):
            topics.allowed(refused)


def test_a_missing_topic_is_left_alone_and_tried_again_by_one(topics: ReplyTopics, clock: Clock) -> None:
    assert not is_left_alone(topics, "a-replies")
    assert topics.failed("a-replies", MISSING)
    assert not topics.failed("a-replies", MISSING)
    assert is_left_alone(topics, "a-replies")
    assert not is_left_alone(topics, "b-replies")
    clock.now = CLOSED_SECONDS
    assert not is_left_alone(topics, "a-replies")
    assert is_left_alone(topics, "a-replies")
    topics.found("a-replies")
    assert not is_left_alone(topics, "a-replies")
    assert topics.failed("a-replies", MISSING)


def test_a_reply_that_is_refused_says_nothing_about_the_topic(topics: ReplyTopics) -> None:
    assert topics.failed("a-replies", MessageSizeTooLargeError())
    assert not is_left_alone(topics, "a-replies")


def test_what_is_remembered_is_bounded(topics: ReplyTopics) -> None:
    for number in range(MAX_CLOSED + 1):
        topics.failed(f"{number}-replies", MISSING)
    assert not is_left_alone(topics, "0-replies")
    assert is_left_alone(topics, f"{MAX_CLOSED}-replies")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (MISSING, "there is no such topic"),
        (UnknownTopicOrPartitionError("a-replies"), "there is no such topic"),
        (KeyError("x"), "KeyError: 'x'"),
        (ValueError(), "ValueError"),
    ],
)
def test_why_a_reply_did_not_go_out(error: Exception, told: str) -> None:
    assert reason(error) == told


def test_an_error_that_names_itself_is_named_once() -> None:
    assert reason(MessageSizeTooLargeError("1 MB")).count("MessageSizeTooLargeError") == 1
