"""Ratings that make a model raise are left out, by all who follow the journal, whatever they fetched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.arrays import digest
from recommender.history.events import Events
from recommender.history.rows import Rows
from recommender.journal import replica as replica_module
from recommender.journal.poison import learn_around
from recommender.journal.replica import Poisoned
from recommender.kafka.log_reader import Span
from recommender.messages.ratings import Rating
from recommender.models import popular, registry
from recommender.retraining.log_replay import JournalReplay
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import few
from tests.support.journals import FOUND, Journal
from tests.support.learning_setup import MINUTE, LearningWorker, single_pass
from tests.unit.journal.blocks import Block, Row, columns

OPTIONS = ShardOptions("fragile", test_every=2)


class Fragile(popular.Popular):
    """Learns half of a run before it raises for every rating of one point five."""

    def learn(self, events: Events) -> None:
        bad = [place for place, rating in enumerate(events.ratings) if rating == 1.5]
        super().learn(events)
        if bad:
            raise ZeroDivisionError(f"event {bad[0]}:\ncannot be learned")


@pytest.fixture(autouse=True, scope="module")
def _fragile() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(popular, "Fragile", Fragile, raising=False)
        patch.setitem(registry._MODELS, "fragile", ("popular", "Fragile", "raises"))  # noqa: SLF001
        patch.setattr(replica_module, "WARY", 3)
        yield


Kinds = Sequence[str]
kinds = st.lists(st.sampled_from(["good", "good", "good", "poison", "withdrawal"]), max_size=40)
sizes = st.lists(st.integers(1, 5), max_size=40)


def rating(number: int, kind: str) -> Rating:
    """The users and items of those that cannot be learned are new ones."""
    if kind == "poison":
        return Rating(f"new-{number}", f"i{number % 7}", 1.5, float(number))
    value = None if kind == "withdrawal" else 1 + number % 5
    return Rating(f"u{number % 3}", f"i{number % 7}", value, float(number))


def journal_of(of: Kinds, blocks: Sequence[int]) -> Journal:
    """Ratings of these kinds in blocks of these sizes, each a minute after the one before."""
    made, first = Journal(), 0
    for size in [*blocks, len(of)]:
        made.add(
            [rating(number, kind) for number, kind in enumerate(of)][first : first + size],
            stamp=len(made.blocks) * MINUTE,
        )
        first += size
        if first >= len(of):
            return made
    return made


def naive(of: Kinds) -> Shard:
    """One rating after another, but for those that cannot be learned."""
    shard = Shard(OPTIONS)
    for number, kind in enumerate(of):
        if kind != "poison":
            shard.learn([rating(number, kind)], [float(number)])
    return shard


def expected(of: Kinds, blocks: Sequence[Block]) -> str:
    """The digest of the state that there must be."""
    harmless = single_pass(blocks)  # its model is another one
    return digest(naive(of).state() | harmless.own_state())


def rows_of(of: Kinds) -> Rows:
    given_ = [Row(number, *rating(number, kind)) for number, kind in enumerate(of)]  # type: ignore[arg-type]
    return columns(given_, float32=True)[0]


@few
@given(kinds)
def test_around_them_the_state_is_as_if_they_had_not_been_there(of: Kinds) -> None:
    assert learn_around(Shard(OPTIONS), rows_of(of), "here").digest() == naive(of).digest()


def test_each_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        learn_around(Shard(OPTIONS), rows_of(["good", "poison", "good"]), "journal[0] offsets 7 to 9")
    assert caplog.messages == [
        "journal[0] offsets 7 to 9: user 'new-1''s rating of item 'i1' cannot be learned and is left out: "
        "ZeroDivisionError: cannot be learned"
    ]


@few
@given(kinds, sizes, sizes, st.sets(st.integers(0, 40), max_size=3))
async def test_all_who_follow_leave_out_the_same(
    tmp_path_factory: pytest.TempPathFactory, of: Kinds, blocks: list[int], pieces: list[int], saves: set[int]
) -> None:
    """Whatever they fetch at once, and wherever they were saved and begin again."""
    journal = journal_of(of, blocks)

    directory = tmp_path_factory.mktemp("poison")
    worker = await LearningWorker(directory, OPTIONS, chunk=4).open()
    for stop in sorted(each for each in saves if each < len(journal.blocks)):
        await worker.follow(journal, pieces, stop)
        worker.held.store.save(0, worker.replica.position, worker.replica.state())
        if stop % 2:
            worker = await LearningWorker(directory, OPTIONS, chunk=4).open()
    await worker.follow(journal, pieces)
    assert worker.replica.digest() == expected(of, journal.blocks)


async def test_a_storm_does_not_go_back_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of = ["poison"] * 60
    journal = journal_of(of, [1] * 60)

    worker = await LearningWorker(tmp_path, OPTIONS, chunk=4).open()
    reloads = []
    reload = worker.replicas.reload

    async def counted(held: Any) -> None:
        reloads.append(held.replica.position)
        await reload(held)

    monkeypatch.setattr(worker.replicas, "reload", counted)
    await worker.follow(journal, [2] * 1000)
    assert worker.replica.digest() == expected(of, journal.blocks)
    assert 1 <= len(reloads) <= 60 / (2 + replica_module.WARY) + 1


async def test_who_is_put_back_answers_nothing_until_it_is_at_the_end_again(tmp_path: Path) -> None:
    journal = journal_of(["good", "poison", "good"], [1, 1, 1])

    worker = await LearningWorker(tmp_path, OPTIONS, chunk=4).open()
    assert worker.replicas.get(0) is worker.held
    assert not await worker.take(journal.blocks)
    assert worker.replicas.get(0) is None
    assert (worker.replica.position, worker.replica.suspects) == (0, range(3 + replica_module.WARY))


async def test_memory_that_ran_out_is_no_ratings_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Fragile, "learn", fail)

    worker = await LearningWorker(tmp_path, OPTIONS, chunk=4).open()
    with pytest.raises(MemoryError):
        await worker.take(journal_of(["good"], [1]).blocks)
    assert worker.replica.suspects == range(0)


class Reader:
    """A reader of the journal that hands out so many records at once, without Kafka."""

    def __init__(self, blocks: list[Block], size: int) -> None:
        self._blocks, self._size, self.position = blocks, size, 0

    def spans(self, topic: str, partitions: list[int]) -> list[Span]:
        return [Span(0, len(self._blocks), len(self._blocks)) for _ in partitions]

    def start(self, topic: str, partition: int, offset: int) -> None:
        self.position = offset

    def read(self, most: int) -> list[Block]:
        found = self._blocks[self.position : self.position + min(self._size, most)]
        self.position += len(found)
        return found


@few
@given(kinds, sizes, st.integers(1, 6), st.integers(-1, 45), st.integers(0, 40))
def test_a_replay_leaves_out_the_same(
    of: Kinds, blocks: list[int], size: int, stop_at: int, before: int
) -> None:
    journal = journal_of(of, blocks)
    reader: Any = Reader(journal.blocks, size)
    told: list[tuple[int, int, int]] = []
    replay = JournalReplay(reader, FOUND, OPTIONS, lambda *each: told.append(each))
    seen: dict[int, int] = {}
    end = len(journal.blocks)
    replica = replay.learn(0, stop_at, lambda each: seen.update({each.position: each.shard.events}))
    assert digest(replica.shard.state()) == naive(of).digest()
    assert replica.position == end
    assert list(seen) == ([stop_at] if 0 <= stop_at <= end else [])
    assert told[-1] == (0, end, end)
    # What follows a part of it gets there too.
    suspects = range(0)
    while True:
        follower = replay.new(0)
        follower.suspects = suspects
        try:
            replay.follow(follower, min(before, end))
            replay.follow(follower, end)
            break
        except Poisoned:
            assert "poison" in of
            suspects = follower.suspects
    assert follower.digest() == replica.digest()
