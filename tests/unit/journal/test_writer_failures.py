"""The writer after a failure: all is sent again, or read again, and nothing counts twice."""

from __future__ import annotations

import asyncio
import logging

import pytest

from recommender.journal.rule import Rule
from tests.support.doubles import until
from tests.unit.journal.blocks import Block
from tests.unit.journal.writer_setup import OTHER, SOURCE, Ingest, Journal, append, writing


@pytest.fixture
def journal() -> Journal:
    """Without any blocks."""
    return Journal()


@pytest.fixture
def ingest() -> Ingest:
    """Nothing was read again."""
    return Ingest()


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
