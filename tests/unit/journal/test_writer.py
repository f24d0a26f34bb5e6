"""The writer: what it sends and when, whatever a broker answers."""

from __future__ import annotations

import asyncio
import functools
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from recommender.journal.block import Source, head_of
from recommender.journal.block_reader import read
from recommender.journal.outbox import IN_FLIGHT, Acknowledged
from recommender.journal.rule import Rule
from recommender.journal.writer import JournalWriter
from tests.support.doubles import until
from tests.unit.journal.blocks import TOPIC, Block, Row, columns

SOURCE, OTHER = Source(TOPIC, 0), Source(TOPIC, 1)


class Journal:
    """A `send` that keeps what is sent, in the order of calls, and answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes, asyncio.Future[Any]]] = []
        self.fails: Exception | None = None
        self.renewed = 0

    async def __call__(self, partition: int, value: bytes, timestamp: int) -> asyncio.Future[Any]:
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        self.sent.append((partition, value, asyncio.get_running_loop().create_future()))
        return self.sent[-1][2]

    async def renew(self) -> None:
        self.renewed += 1

    def ranges(self, source: Source = SOURCE) -> list[tuple[int, int]]:
        heads = [head_of(value) for _, value, _ in self.sent]
        return [(head.begin, head.end) for head in heads if head.source == source]

    def has_sent(self, place: int) -> bool:
        return len(self.sent) > place

    def answer(self, place: int, offset: int | None = None, timestamp_type: int = 1) -> None:
        """Acknowledge one, by default at the offset that is its place."""
        found = SimpleNamespace(
            offset=place if offset is None else offset, timestamp=1000 + place, timestamp_type=timestamp_type
        )
        self.sent[place][2].set_result(found)

    def refuse(self, place: int) -> None:
        self.sent[place][2].set_exception(OSError("refused"))


class Ingest:
    """Who reads sources again, and what it was told."""

    def __init__(self) -> None:
        self.reads: list[tuple[Source, int]] = []

    async def __call__(self, source: Source, offset: int) -> None:
        self.reads.append((source, offset))


def writing(journal: Journal, ingest: Ingest, **options: Any) -> JournalWriter:
    """A writer that tries again at once."""
    return JournalWriter(journal, ingest, retry_seconds=0.0, **options)


@pytest.fixture
def journal() -> Journal:
    """Without any blocks."""
    return Journal()


@pytest.fixture
def ingest() -> Ingest:
    """Nothing was read again."""
    return Ingest()


def rows(first: int, last: int) -> Any:
    return columns([Row(each, f"u{each}", "x", 1.0, 0.0) for each in range(first, last)])


async def append(writer: JournalWriter, first: int, last: int, source: Source = SOURCE) -> bool:
    return await writer.append(source, first, last, *rows(first, last))


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


@pytest.mark.parametrize("how", ["refused", "not sent"])
async def test_after_a_failure_all_is_sent_again_by_a_new_producer(
    how: str, caplog: pytest.LogCaptureFixture, journal: Journal, ingest: Ingest
) -> None:
    with caplog.at_level(logging.WARNING):
        writer = writing(journal, ingest, renew=journal.renew)
        for source in (SOURCE, OTHER):
            writer.begin(source, 0)
            await append(writer, 0, 2, source)
        await append(writer, 2, 4)
        if how == "refused":
            journal.refuse(0)
        else:
            journal.answer(0)
            journal.fails = OSError("not sent")
            assert not await append(writer, 4, 6)
            journal.fails = None
        await until(lambda: writer.error)
        # The others' blocks are waited for: those of a new producer could overtake them.
        for _ in range(20):
            assert not await append(writer, 2, 4, OTHER)
            await asyncio.sleep(0)
        assert (journal.renewed, ingest.reads, writer.next_offset(OTHER)) == (0, [], None)
        journal.answer(1)
        journal.answer(2)
        await until(lambda: len(ingest.reads) == 2)
        assert journal.renewed == 1
        assert sorted(ingest.reads) == [(SOURCE, 0 if how == "refused" else 4), (OTHER, 2)]
        assert writer.committable() == {SOURCE: 0 if how == "refused" else 4, OTHER: 2}
        assert writer.returns == 2
        assert await append(writer, 0, 6)
        journal.answer(3)
        await until(lambda: writer.committable()[SOURCE] == 6)
        assert writer.error is None
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"the journal takes no blocks ({how}); they are sent again until it does",
        "the journal takes blocks again after 0 s",
    ]


async def test_a_producer_that_cannot_be_made_is_tried_again(journal: Journal, ingest: Ingest) -> None:
    async def renew() -> None:
        journal.renewed += 1
        if journal.renewed < 3:
            raise OSError("no broker")

    writer = writing(journal, ingest, renew=renew)
    writer.begin(SOURCE, 0)
    await append(writer, 0, 2)
    journal.refuse(0)
    await until(lambda: ingest.reads)
    assert journal.renewed == 3
    # Who begins meanwhile waits, too.
    await append(writer, 0, 2)
    journal.renewed = 0
    journal.refuse(1)
    await until(lambda: writer.next_offset(SOURCE) is None)
    writer.begin(OTHER, 5)
    assert writer.next_offset(OTHER) is None
    await until(lambda: (OTHER, 5) in ingest.reads)
    assert journal.renewed == 3


async def test_what_is_acknowledged_and_not_there_is_read_again_from_where_it_is_applied(
    journal: Journal, ingest: Ingest
) -> None:
    rule = Rule("journal")
    writer = writing(journal, ingest, rules=lambda: [rule])
    writer.begin(SOURCE, 0)
    await append(writer, 0, 2)
    await append(writer, 2, 4)
    await append(writer, 4, 6)
    journal.answer(0)
    journal.answer(1)  # a lie
    await until(lambda: writer.in_flight == 1)
    rule.follow([Block(0, journal.sent[0][1])])
    writer.followed()
    assert writer.next_offset(SOURCE) == 6
    rule.follow([Block(1, journal.sent[2][1])])
    writer.followed()
    assert writer.next_offset(SOURCE) is None
    assert not await append(writer, 6, 7)
    assert ingest.reads == []
    journal.answer(2, offset=1)
    await until(lambda: ingest.reads)
    assert ingest.reads == [(SOURCE, 2)]
    assert writer.committable() == {SOURCE: 2}


async def test_it_is_noticed_although_the_answer_comes_later_than_the_blocks(
    journal: Journal, ingest: Ingest
) -> None:
    rule = Rule("journal")
    writer = writing(journal, ingest, rules=lambda: [rule])
    writer.begin(SOURCE, 0)
    await append(writer, 0, 2)
    await append(writer, 2, 4)
    rule.follow([Block(0, journal.sent[0][1])])
    writer.followed()
    journal.answer(0)
    journal.answer(1, offset=0)  # a lie, and nothing comes any more
    await until(lambda: ingest.reads)
    assert ingest.reads == [(SOURCE, 2)]


async def test_it_goes_back_only_when_all_that_was_answered_is_followed(
    journal: Journal, ingest: Ingest
) -> None:
    rule = Rule("journal")
    writer = writing(journal, ingest, rules=lambda: [rule])
    writer.begin(SOURCE, 0)
    await append(writer, 0, 2)
    await append(writer, 2, 4)
    journal.answer(0)
    journal.refuse(1)
    await until(lambda: writer.in_flight == 0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert ingest.reads == []
    rule.follow([Block(0, journal.sent[0][1])])
    writer.followed()
    await until(lambda: ingest.reads)
    assert ingest.reads == [(SOURCE, 2)]


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
