"""The same without the client: a Kafka client and JSON, as in any other language.

It needs a broker and a worker, see docs/getting-started.md. docs/contracts.md has all fields and headers.
"""

from __future__ import annotations

import json
import os
import time
import uuid

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

broker = os.environ.get("RECOMMENDER_BROKER", "localhost:9092")
prefix = os.environ.get("RECOMMENDER_TOPIC_PREFIX", "")
RATINGS, REQUESTS = prefix + "ratings", prefix + "recommendation-requests"
RESPONSES = prefix + "recommendation-responses"
WAIT_SECONDS = 20.0


def main() -> None:
    """Write ratings and a request, and wait for the reply to it."""
    producer = KafkaProducer(bootstrap_servers=broker)
    replies = KafkaConsumer(bootstrap_servers=broker)
    try:
        # From now on: the reply has not been written yet.
        partitions = sorted(replies.partitions_for_topic(RESPONSES) or ())
        replies.assign([TopicPartition(RESPONSES, each) for each in partitions])
        replies.seek_to_end()
        for each in replies.assignment():
            replies.position(each)

        for user, item in (("ann", "tea"), ("ann", "milk"), ("bob", "tea"), ("bob", "milk"), ("cat", "tea")):
            rating = {"user": user, "item": item, "rating": 5, "timestamp": time.time()}
            # The key keeps the ratings of a user in order; any other one, or none, will do as well.
            sent = producer.send(RATINGS, key=user.encode(), value=json.dumps(rating).encode())
        place = sent.get(timeout=WAIT_SECONDS)

        correlation = uuid.uuid4().bytes
        request = {"user": "cat", "n": 3, "after": {"partition": place.partition, "offset": place.offset}}
        headers = [
            ("kafka_correlationId", correlation),
            ("deadline-ms", str(int((time.time() + WAIT_SECONDS) * 1000)).encode()),
        ]
        producer.send(REQUESTS, key=b"cat", value=json.dumps(request).encode(), headers=headers)
        producer.flush(timeout=WAIT_SECONDS)
        print_reply(replies, correlation)
    finally:
        producer.close()
        replies.close()


def print_reply(replies: KafkaConsumer, correlation: bytes) -> None:
    """Wait for the reply with our correlation id; others in the topic are for others."""
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        for records in replies.poll(timeout_ms=500).values():
            for record in records:
                if dict(record.headers).get("kafka_correlationId") != correlation:
                    continue
                reply = json.loads(record.value)
                if not reply["ok"]:
                    print(f"refused ({reply['error']['code']}): {reply['error']['message']}")
                    return
                print(f"for {reply['user']}: {[place['item'] for place in reply['items']]}")
                print(f"as of {reply['as_of']}")
                return
    print("no worker has answered")


if __name__ == "__main__":
    main()
