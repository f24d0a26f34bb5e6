"""Checkpoints that are there already, that differ, and that cannot be written."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoint_setup import Clock, damaged, digest_at, file_id, minutes, saved
from tests.support.journals import FOUND
from tests.support.learning_setup import INTERVAL, LearningWorker, single_pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_who_differs_says_so_and_saves_nothing_more(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = minutes(9)
    worker = await LearningWorker(tmp_path, clock=clock).open()
    worker.held.store.save(0, 3, single_pass(journal.blocks, stop=3).state())
    await worker.take(journal.blocks[:2])
    damaged(worker.replica)
    await worker.follow(journal, [2], 5)
    await worker.settle()
    (told,) = worker.checkpointing.differs.values()
    assert f"{3:020d}.npz was saved by another worker and its digest is " in told
    assert single_pass(journal.blocks, stop=3).digest() in told
    clock.now += 10 * INTERVAL
    await worker.follow(journal, [1] * 30)
    await worker.settle()
    assert saved(tmp_path) == [3]
    assert worker.held.saved == -1
    worker.checkpointing.drop(0)
    assert worker.checkpointing.differs == {}
    (error,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert error.endswith("; this worker is not ready any more and saves nothing: restart it")


@pytest.mark.parametrize("change", [{"version": "0.0.1"}, {"handover": "another"}, {"settings": {"seed": 9}}])
async def test_what_need_not_be_equal_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    journal = minutes(2)
    worker = await LearningWorker(tmp_path).open()
    header_at = worker.held.store.header_at

    def changed(partition: int, offset: int) -> dict[str, Any] | None:
        header = header_at(partition, offset)
        return None if header is None else header | change

    await worker.take(journal.blocks[:2])
    worker.held.store.save(0, 3, damaged(single_pass(journal.blocks, stop=3)).state())
    monkeypatch.setattr(worker.held.store, "header_at", changed)
    await worker.follow(journal)
    await worker.settle()
    assert worker.checkpointing.differs == {}
    assert worker.held.saved == 3


async def test_a_checkpoint_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    journal = minutes(2)
    worker = await LearningWorker(tmp_path).open()
    await worker.take(journal.blocks[:2])
    worker.held.store.save(0, 3, single_pass(journal.blocks, stop=3).state())
    before = file_id(tmp_path)
    await worker.follow(journal)
    await worker.settle()
    assert file_id(tmp_path) == before
    assert (worker.held.saved, worker.checkpointing.differs) == (3, {})


async def test_one_that_is_damaged_is_written_again(tmp_path: Path) -> None:
    journal = minutes(2)
    worker = await LearningWorker(tmp_path).open()
    await worker.take(journal.blocks[:2])
    worker.held.store.save(0, 3, single_pass(journal.blocks, stop=3).state())
    worker.held.store.storage.write(f"{FOUND.topic}-0/{3:020d}.npz", lambda file: file.write(b"damaged"))
    await worker.follow(journal)
    await worker.settle()
    assert digest_at(worker, 3) == single_pass(journal.blocks, stop=3).digest()


async def test_while_nothing_can_be_saved_learning_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    journal = minutes(6)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with caplog.at_level(logging.WARNING):
        worker = await LearningWorker(tmp_path, clock=clock).open()
        with monkeypatch.context() as patch:
            patch.setattr(worker.held.store, "save", full)
            for stop in (4, 7):
                clock.now += INTERVAL
                await worker.follow(journal, [2] * 9, stop)
                await worker.settle()
                assert "No space left" in str(worker.checkpointing.errors[0])
        assert (worker.held.saved, saved(tmp_path)) == (-1, [])
        clock.now += INTERVAL
        await worker.follow(journal, [1] * 99)
        await worker.settle()
        assert worker.checkpointing.errors == {}
        assert worker.held.saved == saved(tmp_path)[0] == 9
        assert worker.replica.digest() == single_pass(journal.blocks).digest()
    first, second, again = caplog.messages
    assert first == second
    assert first == (
        f"ratings-journal[0]: cannot write checkpoints to {tmp_path}: [Errno 28] No space left on device; "
        "learning and answering continue"
    )
    assert again == "ratings-journal[0]: checkpoints can be written again"


async def test_a_mistake_in_saving_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = await LearningWorker(tmp_path).open()
    monkeypatch.setattr(worker.held.store, "save", lambda *_: 1 / 0)
    await worker.follow(minutes(2), [2])
    task = worker.checkpointing.saving_of(worker.held).task
    assert task is not None
    with pytest.raises(ZeroDivisionError):
        await task
