"""confluent-kafka, decoding only: ADDRESS TOPIC COUNT."""

import json
import sys
import time

import orjson
from confluent_kafka import Consumer, TopicPartition

address, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer(
    {
        "bootstrap.servers": address,
        "group.id": "unused",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
)
consumer.assign([TopicPartition(topic, 0, 0)])
begin, read = 0.0, 0
while read < count:
    messages = consumer.consume(4000, timeout=1.0)
    if messages:
        begin = begin or time.perf_counter()
    for message in messages:
        orjson.loads(message.value())
    read += len(messages)
print(json.dumps({"rate": read / (time.perf_counter() - begin)}))
consumer.close()
