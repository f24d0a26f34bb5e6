"""Replaying to a real broker: what is counted as delivered is there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import pytest
from kafka import KafkaProducer

from recommender.client.replay import ReplayProgress, Result, replay
from recommender.errors import SourceError
from recommender.kafka.admin import BrokerUnreachableError, open_admin
from recommender.kafka.local.ports import free_port
from recommender.kafka.network import Network
from recommender.kafka.topics import Topics, TopicsError
from recommender.messages.ratings import Rating, RatingDecoder
from tests.support.kafka import consume_all

MakeTopics = Callable[..., Topics]

RATINGS = [
    Rating(f"user {n % 40}" if n % 3 else f"ü{n % 40}", str(n), (n % 10) / 2, 1000.0 + n) for n in range(1200)
]


def murmur2(data: bytes) -> int:
    """Kafka's hash of a key, as in Java's ``Utils.murmur2``, with C's 32-bit arithmetic written out."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def test_every_rating_arrives_once_on_its_users_partition(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics(partitions=4).ratings
    assert replay(RATINGS, kafka, topic) == Result(len(RATINGS), 0, len(RATINGS), "", True)
    records = consume_all(kafka, topic)
    decode = RatingDecoder(0, 5).decode
    assert sorted(map(str, (decode(each.value) for each in records))) == sorted(map(str, RATINGS))
    for each in records:
        user = json.loads(each.value)["user"]
        assert each.key == user.encode()
        assert each.partition == (murmur2(each.key) & 0x7FFFFFFF) % 4
    assert len({each.partition for each in records}) == 4
    for partition in range(4):
        items = [int(json.loads(each.value)["item"]) for each in records if each.partition == partition]
        assert items == sorted(items)


def test_the_value_is_the_contracts(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    ratings = [
        Rating("42", "50", 5.0, 881250949.0),
        Rating("42", "51", 3.5, 881250949.5),
        Rating("42", "52", 1.0, None),
        Rating("42", "50", None, None),
    ]
    replay(ratings, kafka, topic)
    assert [each.value for each in consume_all(kafka, topic)] == [
        b'{"user":"42","item":"50","rating":5,"timestamp":881250949}',
        b'{"user":"42","item":"51","rating":3.5,"timestamp":881250949.5}',
        b'{"user":"42","item":"52","rating":1}',
        b'{"user":"42","item":"50","rating":null}',
    ]


def test_msgpack_says_so_in_a_header(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    replay(RATINGS[:3], kafka, topic, message_format="msgpack")
    records = consume_all(kafka, topic)
    assert [each.headers for each in records] == [[("content-type", b"application/msgpack")]] * 3
    decode = RatingDecoder(0, 5).decode
    assert [decode(each.value, each.headers) for each in records] == RATINGS[:3]
    assert msgspec.msgpack.decode(records[0].value)["user"] == RATINGS[0].user


def test_a_producer_of_the_callers_own_stays_open(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=kafka)
    try:
        assert replay(RATINGS[:10], producer, topic).delivered == 10
        assert replay(RATINGS[10:20], producer, topic).delivered == 10
    finally:
        producer.close()
    assert len(consume_all(kafka, topic)) == 20


def test_the_rate_is_a_bound_and_progress_leads_to_the_end(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    seen: list[tuple[float, ReplayProgress]] = []
    begun = time.monotonic()
    result = replay(
        RATINGS[:300], kafka, topic, rate=200, progress=lambda now: seen.append((time.monotonic(), now))
    )
    assert result.delivered == 300
    # 300 ratings at 200 a second cannot take less than 299 intervals, at any moment of the way.
    for at, now in seen:
        assert now.sent <= (at - begun + 0.1) * 200 + 1
        assert now.delivered + now.failed <= now.sent
    assert seen[-1][1] == ReplayProgress(300, 300, 0, 0.0)


def test_the_speed_follows_the_timestamps(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    ratings = [Rating("u", str(at), 3.0, time) for at, time in enumerate([100.0, 100.0, 160.0, 170.0, 220.0])]
    begun = time.time()
    replay(ratings, kafka, topic, speed=60)
    stamps = [each.timestamp / 1000 for each in consume_all(kafka, topic)]
    # Kafka's stamps are whole milliseconds, and a wait may end two early.
    for stamp, due in zip(stamps, [0, 0, 1, 7 / 6, 2], strict=True):
        assert stamp >= begun + due - 0.004


def test_stopping_sends_no_more_and_waits_for_what_was_sent(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    stop = threading.Event()

    def endless() -> Iterator[Rating]:
        for number in range(10**9):
            if number == 500:
                stop.set()
            yield Rating("u", str(number), 3.0, None)

    result = replay(endless(), kafka, topic, stop=stop)
    assert result == Result(500, 0, 500, "", False)
    assert len(consume_all(kafka, topic)) == 500


def test_a_rating_too_large_for_the_topic_fails_alone(kafka: str, unique: str) -> None:
    with open_admin(kafka) as admin:
        size = {"num_partitions": 2, "replication_factor": 1, "configs": {"max.message.bytes": "500"}}
        admin.create_topics({unique: size})
        admin.wait_for_topics([unique])
    large = Rating("x" * 250, "1", 3.0, None)
    result = replay([*RATINGS[:500], large, *RATINGS[500:], large], kafka, unique)
    assert result._replace(cause="") == Result(len(RATINGS), 2, len(RATINGS) + 2, "", True)
    assert "MessageSizeTooLargeError" in result.cause
    assert len(consume_all(kafka, unique)) == len(RATINGS)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (Rating("", "1", 3.0, None), "user is empty"),
        (Rating("x" * 257, "1", 3.0, None), "user has 257 bytes: expected at most 256"),
        (Rating("1", "\ud800", 3.0, None), "item holds half a character"),
        (Rating("1", "2", 7.0, None), "rating must be between -1 and 5, got 7"),
        (Rating("1", "2", float("nan"), None), "rating must be a finite number"),
        (Rating("1", "2", 3.0, 881250949000.0), "which looks like milliseconds"),
        (Rating("1", "2", 3.0, float("inf")), "timestamp must be a finite number"),
    ],
    ids=lambda each: "",
)
def test_what_the_worker_would_refuse_is_not_sent(
    kafka: str, make_topics: MakeTopics, bad: Rating, told: str
) -> None:
    topic = make_topics().ratings
    with pytest.raises(SourceError, match=f"^Rating 6 would be refused: .*{told}"):
        replay([*RATINGS[:5], bad, *RATINGS[5:]], kafka, topic)
    assert len(consume_all(kafka, topic)) == 5


def test_the_scale_is_the_workers(kafka: str, make_topics: MakeTopics) -> None:
    topic = make_topics().ratings
    ratings = [Rating("u", "i", 9.0, None), Rating("u", "j", 0.0, None)]
    with pytest.raises(
        SourceError, match="Rating 2 would be refused: rating must be between 1 and 10, got 0"
    ):
        replay(ratings, kafka, topic, scale=(1, 10))
    assert len(consume_all(kafka, topic)) == 1


def test_no_broker_and_no_topic_are_different_errors(kafka: str, unique: str) -> None:
    with pytest.raises(BrokerUnreachableError):
        replay(RATINGS, f"127.0.0.1:{free_port()}", unique)
    with pytest.raises(TopicsError, match=unique):
        replay(RATINGS, kafka, unique)
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=kafka, max_block_ms=500)
    try:
        with pytest.raises(TopicsError, match=unique):
            replay(RATINGS, producer, unique)
    finally:
        producer.close()
