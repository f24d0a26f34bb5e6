"""confluent-kafka, decoding only: ADDRESS TOPIC PARTITIONS COUNT SETTINGS, the last as JSON.

``batch`` is what one call consumes and ``collect_after`` the garbage collector's threshold; all others are
librdkafka's own. The clock starts when the first batch is decoded, which is not counted.
"""

import gc
import json
import sys
import time

import orjson
from confluent_kafka import Consumer, TopicPartition

address, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = json.loads(sys.argv[5])
batch = settings.pop("batch", 4000)
gc.set_threshold(settings.pop("collect_after", gc.get_threshold()[0]), 10, 10)
consumer = Consumer(
    {
        "bootstrap.servers": address,
        "group.id": "unused",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        **settings,
    }
)
consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
begin, busy, first, read = 0.0, 0.0, 0, 0
while read < count:
    messages = consumer.consume(batch, timeout=1.0)
    for message in messages:
        orjson.loads(message.value())
    read += len(messages)
    if messages and not first:
        begin, busy, first = time.perf_counter(), time.process_time(), read
seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
print(json.dumps({"rate": (read - first) / seconds, "cpu": cpu / (read - first) * 1e6}))
consumer.close()
