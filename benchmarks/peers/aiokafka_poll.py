"""aiokafka, decoding only: ADDRESS TOPIC COUNT."""

import asyncio
import json
import sys
import time

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition


async def main(address: str, topic: str, count: int) -> None:
    """Read `count` records from the start of partition 0."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    begin, read = 0.0, 0
    while read < count:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=4000)).values():
            begin = begin or time.perf_counter()
            for record in records:
                orjson.loads(record.value)
            read += len(records)
    print(json.dumps({"rate": read / (time.perf_counter() - begin)}))
    await consumer.stop()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
