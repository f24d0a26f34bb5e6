"""A plain aiokafka client that asks for recommendations: ADDRESS PREFIX COUNT RATE USER ...

With RATE 0 one request after the other; else so many a second, whether or not the replies keep up: the wait
of a late one counts from when it was due.
"""

import asyncio
import json
import sys
import time
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

WAIT = 30.0


class Requester:
    """Sends requests, and matches replies by their correlation ids."""

    def __init__(self, address: str, prefix: str) -> None:
        self.requests, self.responses = (
            prefix + "recommendation-requests",
            prefix + "recommendation-responses",
        )
        self.producer = AIOKafkaProducer(bootstrap_servers=address, acks=1)
        self.consumer = AIOKafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
        self.waiting: dict[bytes, asyncio.Future[bool]] = {}

    async def start(self) -> None:
        """Connect, and wait at the end of the replies."""
        await self.producer.start()
        await self.consumer.start()
        partition = TopicPartition(self.responses, 0)
        self.consumer.assign([partition])
        await self.consumer.seek_to_end(partition)
        await self.consumer.position(partition)
        self.collector = asyncio.create_task(self.collect())

    async def collect(self) -> None:
        """Hand replies to whoever waits."""
        async for record in self.consumer:
            correlation = dict(record.headers).get("kafka_correlationId", b"")
            waiter = self.waiting.pop(correlation, None)
            if waiter is not None and not waiter.done():
                waiter.set_result(bool(json.loads(record.value)["ok"]))

    async def ask(self, user: str, due: float) -> float:
        """Milliseconds from when it was due to the reply; negative for a failure."""
        correlation = uuid.uuid4().bytes
        reply = self.waiting[correlation] = asyncio.get_running_loop().create_future()
        headers = [("kafka_correlationId", correlation), ("kafka_replyTopic", self.responses.encode())]
        value = json.dumps({"user": user, "n": 10}).encode()
        await self.producer.send(self.requests, value, key=user.encode(), headers=headers)
        succeeded = await asyncio.wait_for(reply, WAIT)
        took = (time.perf_counter() - due) * 1e3
        return took if succeeded else -took

    async def stop(self) -> None:
        """Disconnect."""
        self.collector.cancel()
        await self.producer.stop()
        await self.consumer.stop()


async def main(address: str, prefix: str, count: int, rate: float, users: list[str]) -> None:
    """Ask `count` times and print what it took."""
    requester = Requester(address, prefix)
    await requester.start()
    for user in users[:3]:
        await requester.ask(user, time.perf_counter())
    if rate == 0:
        chosen = (users[number % len(users)] for number in range(count))
        times = [await requester.ask(user, time.perf_counter()) for user in chosen]
    else:
        begin, tasks = time.perf_counter(), []
        for number in range(count):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(requester.ask(users[number % len(users)], due)))
        times = list(await asyncio.gather(*tasks))
    await requester.stop()
    failed = sum(each < 0 for each in times)
    times = sorted(abs(each) for each in times)
    p50, p99 = (times[int(share * (len(times) - 1))] for share in (0.5, 0.99))
    print(json.dumps({"p50": p50, "p99": p99, "max": times[-1], "failed": failed}))


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5:]))
