"""aiokafka, decoding only: ADDRESS TOPIC COUNT FORMAT SCHEMA, with what decodes each format quickest.

The garbage collector comes seldom, as with the worker. The clock starts when the first batch is decoded,
which is not counted.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition


def decoder(form: str, schema: str) -> Callable[[bytes], Any]:
    """The function that decodes a value, and reads four fields of it."""
    if form == "avro":
        import fastavro

        parsed = fastavro.parse_schema(json.loads(schema))
        return lambda value: fastavro.schemaless_reader(BytesIO(value), parsed, None)
    if form == "protobuf":
        from recommender.ingest.sources.protobuf import ProtobufSchema
        from recommender.ingest.sources.registry import Schema

        made = ProtobufSchema(Schema("PROTOBUF", schema))

        def read(value: bytes) -> Any:
            message, _ = made.decode(value, None, indexed=False)
            return message.user, message.item, message.rating, message.at

        return read
    return msgspec.json.Decoder(_struct(json.loads(schema))).decode


def _struct(tree: Any) -> Any:
    """A type for the fields that are wanted, as nested objects."""
    fields = [
        (name, _struct(inside) if isinstance(inside, dict) else str | int | float)
        for name, inside in tree.items()
    ]
    return msgspec.defstruct("Value", fields, gc=False)


async def main(address: str, topic: str, count: int, form: str, schema: str) -> None:
    """Read `count` records from the start of the only partition."""
    gc.set_threshold(100_000, 10, 10)
    decode = decoder(form, schema)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, enable_auto_commit=False, auto_offset_reset="earliest", check_crcs=False
    )
    await consumer.start()
    consumer.assign([TopicPartition(topic, 0)])
    begin, busy, first, read = 0.0, 0.0, 0, 0
    while read < count:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=4000)).values():
            for record in records:
                decode(record.value)
            read += len(records)
        if read and not first:
            begin, busy, first = time.perf_counter(), time.process_time(), read
    seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    print(json.dumps({"rate": (read - first) / seconds, "cpu": cpu / (read - first) * 1e6}))
    await consumer.stop()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5]))
