"""The consumer: it commits nothing by itself and keeps no notes of what it has read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP

from recommender.worker.transport import consumer_thread, faust_transport
from recommender.worker.transport.consumer import Consumer


def consumer() -> Any:
    """A consumer that is not started."""
    app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
    faust_transport.set_transport(app, "nowhere:1")

    async def nothing(*arguments: Any) -> None:
        pass

    made: Any = app.transport.create_consumer(
        callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
    )
    assert isinstance(made, Consumer)
    return made


def test_faust_commits_nothing_and_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        ours = consumer()
        commits: list[Any] = []

        async def commit(offsets: Any) -> bool:
            commits.append(offsets)
            return True

        monkeypatch.setattr(ours._thread, "commit", commit)
        monkeypatch.setattr(ours._thread, "commit_offsets", commit)
        tp = TP("ratings", 0)
        ours._acked[tp] = [1, 2, 3]
        assert not await ours.commit()
        await ours.commit_and_end_transactions()
        await ours.on_task_error(ValueError())
        assert commits == []
        assert await ours.commit_offsets({tp: 7})
        assert commits == [{tp: 7}]
        # Faust drops a batch that lies before this note, which it takes after a seek back, too.
        ours._read_offset[tp] = 99
        assert ours._read_offset[tp] is None
        ours._thread.thread_loop.close()

    asyncio.run(scenario())


def test_a_thread_that_answers_nobody_has_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        for crashed in (False, True):
            asked: Any = SimpleNamespace(
                call_thread=lambda method, offsets: asyncio.Event().wait(),
                _commit_offsets=None,
                crashed=crashed,
            )
            found = await consumer_thread.ConsumerThread.commit_offsets(asked, {TP("ratings", 0): 1})
            assert found is False

    monkeypatch.setattr(consumer_thread, "COMMIT_SECONDS", -0.99)
    asyncio.run(run())
