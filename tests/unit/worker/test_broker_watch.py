"""Whether brokers answer, asked of servers that are there, away, silent, or refuse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from recommender.kafka.local.ports import HOST, free_port
from recommender.worker.broker_watch import BrokerWatch

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """The address of a server."""
    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and answer nothing until the other side leaves."""
    while await reader.read(100):
        pass
    writer.close()


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what is asked, and close."""
    writer.write(await reader.read(100))
    writer.close()


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without an answer."""
    await reader.read(100)
    writer.close()


async def test_a_broker_that_hangs_is_gone_until_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(silent) as address:
        watch = BrokerWatch(address, answer_seconds=0.05)
        assert not await watch.check()
        assert not await watch.check()
        assert watch.gone_seconds is not None
    assert [f"the broker at {address} is gone" in each for each in caplog.messages] == [True]


async def test_one_that_answers_of_several_is_enough() -> None:
    async with serving(answering) as there:
        watch = BrokerWatch(f"{HOST}:{free_port()},{there}")
        assert await watch.check()
        assert watch.gone_seconds is None


async def test_one_that_closes_does_not_answer() -> None:
    async with serving(closing) as address:
        assert not await BrokerWatch(address).check()


async def test_with_tls_a_connection_is_enough() -> None:
    async with serving(silent) as address:
        assert await BrokerWatch(address, tls=True, answer_seconds=5).check()
    assert not await BrokerWatch(address, tls=True, answer_seconds=5).check()
