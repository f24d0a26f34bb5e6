"""aiokafka, decoding only: ADDRESS TOPIC PARTITIONS COUNT SETTINGS, the last as JSON.

``max_records`` is `getmany`'s and ``collect_after`` the garbage collector's threshold; all others are the
consumer's own. The clock starts when the first batch is decoded, which is not counted.
"""

import asyncio
import gc
import json
import sys
import time
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition


async def main(address: str, topic: str, partitions: int, count: int, settings: dict[str, Any]) -> None:
    """Read `count` records from the start of all partitions."""
    most = settings.pop("max_records", 4000)
    gc.set_threshold(settings.pop("collect_after", gc.get_threshold()[0]), 10, 10)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="earliest", **settings
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, number) for number in range(partitions)])
    begin, busy, first, read = 0.0, 0.0, 0, 0
    while read < count:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=most)).values():
            for record in records:
                orjson.loads(record.value)
            read += len(records)
        if read and not first:
            begin, busy, first = time.perf_counter(), time.process_time(), read
    seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    print(json.dumps({"rate": (read - first) / seconds, "cpu": cpu / (read - first) * 1e6}))
    await consumer.stop()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5])))
