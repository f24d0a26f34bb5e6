"""The writer: ranges continue one another, to all partitions of the journal, with few blocks in flight."""

from __future__ import annotations

import asyncio
import functools

import pytest

from recommender.journal.block import Source, head_of
from recommender.journal.block_reader import read
from recommender.journal.outbox import IN_FLIGHT, Acknowledged
from tests.support.doubles import until
from tests.unit.journal.writer_setup import OTHER, SOURCE, Ingest, Journal, append, writing


@pytest.fixture
def journal() -> Journal:
    """Without any blocks."""
    return Journal()


@pytest.fixture
def ingest() -> Ingest:
    """Nothing was read again."""
    return Ingest()


async def test_ranges_continue_one_another(journal: Journal, ingest: Ingest) -> None:
    writer = writing(journal, ingest, clock=lambda: 5.0)
    assert not await append(writer, 0, 3)
    writer.begin(SOURCE, 2, decoder=9)
    assert writer.next_offset(SOURCE) == 2
    assert await append(writer, 0, 5)
    assert await append(writer, 5, 2600)
    assert not await append(writer, 4, 2600)
    assert journal.ranges() == [(2, 5), (5, 1005), (1005, 2005), (2005, 2600)]
    assert read(journal.sent[0][1], "j", 0, 0).rows.ids(0) == ["u2", "u3", "u4"]
    assert head_of(journal.sent[0][1]).decoder == 9
    assert writer.committable() == {SOURCE: 2}
    for place in (1, 0, 3):
        journal.answer(place)
    await until(lambda: writer.in_flight == 1)
    assert writer.committable() == {SOURCE: 1005}
    journal.answer(2)
    assert await writer.close() == {SOURCE: 2600}
    assert ingest.reads == []


async def test_only_so_many_are_in_flight(journal: Journal, ingest: Ingest) -> None:
    writer = writing(journal, ingest)
    writer.begin(SOURCE, 0)
    writer.begin(OTHER, 0)
    tasks = [
        asyncio.create_task(append(writer, 20 * turn, 20 * turn + 20, source))
        for turn in range(40)
        for source in (SOURCE, OTHER)
    ]
    await until(lambda: len(journal.sent) == IN_FLIGHT)
    for _ in range(20):
        await asyncio.sleep(0)
    assert writer.in_flight == len(journal.sent) == IN_FLIGHT
    for place in range(80):
        await until(functools.partial(journal.has_sent, place))
        journal.answer(place)
    assert all(await asyncio.gather(*tasks))
    for source in (SOURCE, OTHER):
        assert journal.ranges(source) == [(20 * turn, 20 * turn + 20) for turn in range(40)]


async def test_a_gap_is_read_again_before_it_is_believed(journal: Journal, ingest: Ingest) -> None:
    lost: list[tuple[int, int]] = []

    async def tell(source: Source, first: int, last: int) -> None:
        lost.append((first, last))

    writer = writing(journal, ingest, lost=tell)
    writer.begin(SOURCE, 0)
    assert not await append(writer, 4, 6)
    assert ingest.reads == [(SOURCE, 0)]
    assert lost == []
    assert await append(writer, 4, 6)
    assert journal.ranges() == [(0, 6)]
    assert lost == [(0, 4)]
    assert await append(writer, 6, 7)


async def test_what_is_revoked_is_not_sent_any_more(journal: Journal, ingest: Ingest) -> None:
    writer = writing(journal, ingest)
    writer.begin(SOURCE, 0)
    writer.begin(OTHER, 0)
    await append(writer, 0, 2)
    await append(writer, 0, 2, OTHER)
    revoking = asyncio.create_task(writer.revoke([SOURCE], 60))
    await asyncio.sleep(0)
    assert not await append(writer, 2, 4)
    journal.answer(0)
    assert await revoking == {SOURCE: 2}
    assert writer.committable() == {OTHER: 0}
    assert await append(writer, 2, 4, OTHER)
    # Who does not answer is waited for only so long.
    assert await writer.revoke([OTHER], 0.01) == {OTHER: 0}
    journal.refuse(1)
    await until(lambda: writer.in_flight == 1)
    writer.begin(OTHER, 0)
    assert ingest.reads == []


async def test_an_append_that_waits_ends_when_its_source_is_revoked(journal: Journal, ingest: Ingest) -> None:
    writer = writing(journal, ingest)
    writer.begin(SOURCE, 0)
    for turn in range(IN_FLIGHT):
        await append(writer, turn, turn + 1)
    waiting = asyncio.create_task(append(writer, IN_FLIGHT, IN_FLIGHT + 1))
    await asyncio.sleep(0)
    await writer.revoke([SOURCE], 0.01)
    assert not await waiting


async def test_an_append_that_is_cancelled_is_read_again(journal: Journal, ingest: Ingest) -> None:
    writer = writing(journal, ingest)
    writer.begin(SOURCE, 0)
    sending = asyncio.create_task(append(writer, 0, 2))
    await until(lambda: writer.in_flight)
    sending.cancel()
    await until(lambda: ingest.reads)
    assert ingest.reads == [(SOURCE, 0)]
    assert await append(writer, 0, 2)


async def test_a_range_goes_to_all_partitions_of_the_journal(journal: Journal, ingest: Ingest) -> None:
    told: list[tuple[int, Acknowledged]] = []

    writer = writing(
        journal, ingest, partitions=3, acknowledged=lambda *each: told.append(each), clock=lambda: 5.0
    )
    writer.begin(SOURCE, 0)
    assert await append(writer, 0, 20)
    assert await append(writer, 20, 21)
    assert [partition for partition, *_ in journal.sent] == [0, 1, 2, 0, 1, 2]
    assert journal.ranges() == [(0, 20)] * 3 + [(20, 21)] * 3
    assert [head_of(value).rows for _, value, _ in journal.sent[3:]].count(0) == 2
    for place in (0, 1, 3, 4, 5):
        journal.answer(place, timestamp_type=place % 2)
    await until(lambda: writer.in_flight == 1)
    assert writer.committable() == {SOURCE: 0}
    journal.answer(2)
    await until(lambda: writer.in_flight == 0)
    assert writer.committable() == {SOURCE: 21}
    # Where the broker does not stamp records the timestamp is what was sent with it.
    assert [(partition, each.offset, each.timestamp) for partition, each in told] == [
        (0, 0, 5000),
        (1, 1, 1001),
        (0, 3, 1003),
        (1, 4, 5000),
        (2, 5, 1005),
        (2, 2, 1002),
    ]
