"""A confluent-kafka client that asks for recommendations, one after the other: ADDRESS PREFIX COUNT USER ...

It costs least of all clients, so its waits are the worker's and the broker's.
"""

import json
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

WAIT = 30.0
address, prefix, count, users = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
requests, responses = prefix + "recommendation-requests", prefix + "recommendation-responses"
producer = Producer(
    {"bootstrap.servers": address, "acks": 1, "linger.ms": 0, "partitioner": "murmur2_random"}
)
consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})


def begin() -> None:
    """Wait at the end of the replies."""
    end = consumer.get_watermark_offsets(TopicPartition(responses, 0), WAIT)[1]
    consumer.assign([TopicPartition(responses, 0, end)])


def ask(user: str) -> float:
    """Milliseconds until the reply; negative for a failure."""
    correlation, begun = uuid.uuid4().bytes, time.perf_counter()
    headers = [("kafka_correlationId", correlation), ("kafka_replyTopic", responses.encode())]
    producer.produce(requests, json.dumps({"user": user, "n": 10}), user, headers=headers)
    while True:
        reply = consumer.poll(WAIT)
        if reply is None:
            raise TimeoutError(f"no reply within {WAIT:g} s")
        if reply.error() is None and dict(reply.headers() or ()).get("kafka_correlationId") == correlation:
            took = (time.perf_counter() - begun) * 1e3
            producer.poll(0)
            return took if json.loads(reply.value())["ok"] else -took


begin()
for user in users[:3]:
    ask(user)
times = [ask(users[number % len(users)]) for number in range(count)]
consumer.close()
failed = sum(each < 0 for each in times)
times = sorted(abs(each) for each in times)
p50, p99 = (times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
print(json.dumps({"p50": p50, "p99": p99, "max": times[-1], "failed": failed}))
