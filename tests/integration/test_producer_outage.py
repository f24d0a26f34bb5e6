"""What a worker's producer was given while no broker answered is written, once, when one does."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import faust

from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.topics import Topics, ensure
from recommender.messages.records import Outgoing
from recommender.settings import Settings
from recommender.worker.transport import faust_transport
from recommender.worker.transport.faust_options import faust_options
from tests.support.brokers import TEST_PROPERTIES
from tests.support.kafka import consume_all

#: aiokafka gives up after the timeout of a request.
OUTAGE_SECONDS = faust_options(Settings())["producer_request_timeout"] + 2.0


def producer_of(address: str) -> Any:
    app = faust.App("outage", **faust_options(Settings(broker=address)))
    faust_transport.set_transport(app, address, "ratings")
    return app.transport.create_producer()


def records(first: int) -> list[Outgoing]:
    return [Outgoing(0, None, b"%d" % each, -1, []) for each in range(first, first + 100)]


async def test_an_outage_longer_than_any_timeout() -> None:
    with LocalBroker(properties=TEST_PROPERTIES) as broker:
        topics = Topics()
        ensure(broker.address, topics)
        # It has written to one topic, and never heard of the other.
        producer = producer_of(broker.address)
        await producer.start()
        await producer.send_all(topics.ratings, records(0))
        broker.kill()
        ends = time.monotonic() + OUTAGE_SECONDS
        # Several to one partition: all but the first wait for the ones before them.
        sending = [
            asyncio.create_task(producer.send_all(topics.ratings, records(100 * number)))
            for number in range(1, 4)
        ]
        sending.append(asyncio.create_task(producer.send_all(topics.dead_letters, records(0))))
        # And one begins meanwhile.
        late = producer_of(broker.address)
        sending.append(asyncio.create_task(late.start()))
        done, _ = await asyncio.wait(sending, timeout=ends - time.monotonic())
        assert not done
        await asyncio.to_thread(broker.restart)
        await asyncio.gather(*sending)
        await late.send_all(topics.ratings, records(400))
        await producer.stop()
        await late.stop()
        known = sorted(int(each.value) for each in consume_all(broker.address, topics.ratings))
        assert known == list(range(500))
        unknown = [int(each.value) for each in consume_all(broker.address, topics.dead_letters)]
        assert unknown == list(range(100))
