"""An aiokafka service that answers requests without any work: ADDRESS PREFIX; ends with its standard input.

It is what a worker on aiokafka could at best take.
"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition


async def main(address: str, prefix: str) -> None:
    """Answer until the standard input ends."""
    producer = AIOKafkaProducer(bootstrap_servers=address)
    consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
    await producer.start()
    await consumer.start()
    partition = TopicPartition(prefix + "recommendation-requests", 0)
    consumer.assign([partition])
    await consumer.seek_to_end(partition)
    await consumer.position(partition)
    answering = asyncio.create_task(answer(consumer, producer, prefix + "recommendation-responses"))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    answering.cancel()
    await consumer.stop()
    await producer.stop()


async def answer(consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, responses: str) -> None:
    """Reply to each request."""
    async for record in consumer:
        await producer.send(responses, b'{"ok": true}', headers=list(record.headers))


asyncio.run(main(sys.argv[1], sys.argv[2]))
