"""Measures how soon a rating counts: ADDRESS PREFIX PORT COUNT USER ..., the port of the worker's pages.

By turns a rating is written and the worker's status page asked until it has learned it, and a rating is
written and recommendations are asked for that know of it (`after`). The page's own answer is a part of
the first; how long it takes is told beside it.
"""

import http.client
import json
import random
import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

WAIT = 30.0
#: Between two ratings, so that the worker is idle when the next one comes.
PAUSE = 0.02
address, prefix, port, count, users = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:]
ratings, requests = prefix + "ratings", prefix + "recommendation-requests"
responses = prefix + "recommendation-responses"
settings = {"bootstrap.servers": address, "linger.ms": 0, "partitioner": "murmur2_random"}
# A client of each kind, so that a rating does not wait for a request on the same connection.
writer, asker = Producer({**settings, "acks": "all"}), Producer({**settings, "acks": 1})
consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})
pages = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
random.seed(0)


def learned() -> int:
    """The number of events that the worker has learned, as its page says."""
    pages.request("GET", "/status")
    status = json.loads(pages.getresponse().read())
    shards = [status.get("shards", {}), status.get("journal", {})]
    return max(sum(int(shard.get("events", 0)) for shard in each.values()) for each in shards)


def rate(user: str) -> tuple[int, float]:
    """Write a rating; its offset, and when the broker had it."""
    acknowledged: list[tuple[int, float]] = []

    def told(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            raise RuntimeError(f"the rating was not written: {error}")
        acknowledged.append((message.offset(), time.perf_counter()))

    value = {"user": user, "item": str(random.randrange(1682)), "rating": random.randint(1, 5)}
    writer.produce(ratings, json.dumps(value).encode(), user, on_delivery=told)
    while not acknowledged:
        writer.poll(WAIT)
    return acknowledged[0]


def until_learned(user: str) -> tuple[float, float]:
    """Milliseconds from the acknowledgement until the page shows the rating; those of the last page alone."""
    before = learned()
    _, acknowledged = rate(user)
    while True:
        asked = time.perf_counter()
        if learned() > before:
            now = time.perf_counter()
            return (now - acknowledged) * 1e3, (now - asked) * 1e3
        if asked - acknowledged > WAIT:
            raise TimeoutError(f"not learned within {WAIT:g} s")


def until_recommended(user: str) -> float:
    """Milliseconds from writing a rating until recommendations that know of it are there."""
    begun = time.perf_counter()
    offset, _ = rate(user)
    correlation = uuid.uuid4().bytes
    headers = [("kafka_correlationId", correlation), ("kafka_replyTopic", responses.encode())]
    body = json.dumps({"user": user, "n": 10, "after": offset}).encode()
    asker.produce(requests, body, user, headers=headers)
    while True:
        reply = consumer.poll(WAIT)
        if reply is None:
            raise TimeoutError(f"no reply within {WAIT:g} s")
        if reply.error() is None and dict(reply.headers() or ()).get("kafka_correlationId") == correlation:
            took = (time.perf_counter() - begun) * 1e3
            asker.poll(0)
            if not json.loads(reply.value())["ok"]:
                raise RuntimeError(f"the request failed: {reply.value()!r}")
            return took


end = consumer.get_watermark_offsets(TopicPartition(responses, 0), WAIT)[1]
consumer.assign([TopicPartition(responses, 0, end)])
for user in users[:5]:
    until_learned(user)
    until_recommended(user)
fresh: list[float] = []
page: list[float] = []
recommended: list[float] = []
for number in range(count):
    user = users[number % len(users)]
    time.sleep(PAUSE)
    took, alone = until_learned(user)
    fresh.append(took)
    page.append(alone)
    time.sleep(PAUSE)
    recommended.append(until_recommended(user))
consumer.close()
found: dict[str, float] = {}
for name, times in (("learned", fresh), ("page", page), ("recommended", recommended)):
    times.sort()
    found |= {f"{name}_p{share}": times[int(share / 100 * (len(times) - 1))] for share in (50, 99)}
print(json.dumps(found))
