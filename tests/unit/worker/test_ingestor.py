"""Ingestion: records go into the journal once, letters before the blocks that account for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.journal.rule import Rule
from recommender.messages.records import Outgoing, Record
from tests.support.doubles import FakeRecord, fewer, until
from tests.support.ingesting_setup import bad, batch, begun, rating
from tests.unit.journal.blocks import Block, listed


async def test_what_is_acknowledged_may_be_committed() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0), rating(1), rating(2)]))
    await worker.ingestor.take(batch([rating(3)]))
    assert worker.ranges() == [(0, 3, 3), (3, 4, 1)]
    assert worker.ingestor.committable() == {3: 0}
    await worker.answer(1)
    assert worker.ingestor.committable() == {3: 0}
    await worker.answer(0)
    assert worker.ingestor.committable() == {3: 4}
    assert [(partition, each.learned) for partition, each in worker.ingested] == [(3, 3), (3, 1)]
    assert worker.sent.all == []


async def test_letters_are_there_before_the_block_that_accounts_for_them() -> None:
    worker = await begun(chunk=2)
    answers = worker.sent.hold()
    records = [rating(0), rating(1), rating(2), bad(3), rating(4), rating(5), bad(6), rating(7)]
    taking = asyncio.create_task(worker.ingestor.take(batch(records)))
    await until(lambda: len(answers) == 2)
    # What comes before the first letter need not wait for it; all else does.
    assert worker.ranges() == [(0, 2, 2)]
    answers[0].set_result(None)
    for _ in range(20):
        await asyncio.sleep(0)
    assert worker.ranges() == [(0, 2, 2)]
    answers[1].set_result(None)
    await taking
    assert worker.ranges() == [(0, 2, 2), (2, 4, 1), (4, 6, 2), (6, 8, 1)]
    assert worker.letters() == [(1, 3), (1, 6)]
    assert sum(len(each.refusals) for _, each in worker.ingested) == 2


async def test_a_letter_that_cannot_be_delivered_ends_it_before_its_block() -> None:
    worker = await begun()
    worker.sent.fails = lambda topic: ConnectionError("gone")
    with pytest.raises(ConnectionError, match="gone"):
        await worker.ingestor.take(batch([rating(0), bad(1)]))
    assert (worker.ranges(), worker.ingested) == ([], [])
    assert await worker.ingestor.revoke() == {3: 0}


async def test_records_that_are_no_ratings_are_accounted_for_all_the_same() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([bad(0), bad(1)]))
    assert worker.ranges() == [(0, 2, 0)]
    await worker.answer(0)
    assert worker.ingestor.committable() == {3: 2}


async def test_a_gap_is_read_again_before_it_is_believed() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)]))
    late = batch([rating(4), rating(5)])
    await worker.ingestor.take(late)
    assert (worker.ranges(), worker.reads, len(worker.ingested)) == ([(0, 1, 1)], [1], 1)
    await worker.ingestor.take(late)
    assert (worker.ranges(), worker.reads) == ([(0, 1, 1), (1, 6, 2)], [1])
    assert [each.learned for _, each in worker.ingested] == [1, 2]


async def test_behind_a_gap_letters_wait_until_it_is_believed() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)]))
    late = batch([bad(4), rating(5)])
    await worker.ingestor.take(late)
    assert (worker.letters(), worker.reads) == ([], [1])
    await worker.ingestor.take(late)
    assert (worker.letters(), worker.ranges()[-1], worker.reads) == ([(1, 4)], (1, 6, 1), [1])


async def test_what_is_no_record_between_those_of_one_fetch_is_no_gap() -> None:
    """As the marks of transactions, and what they took back."""
    worker = await begun(chunk=2)
    await worker.ingestor.take(batch([bad(0), rating(1), rating(4), bad(6), rating(9)]))
    assert worker.letters() == [(1, 0), (1, 6)]
    assert worker.ranges() == [(0, 2, 1), (2, 7, 1), (7, 10, 1)]
    assert worker.reads == []


async def test_what_comes_again_is_sent_once() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0), bad(1)]))
    await worker.ingestor.take(batch([rating(0), bad(1)]))
    await worker.ingestor.take(batch([bad(1), rating(2)]))
    assert worker.ranges() == [(0, 2, 1), (2, 3, 1)]
    assert worker.letters() == [(1, 1)]
    assert sum(each.learned for _, each in worker.ingested) == 2


async def test_what_is_no_record_at_the_end_needs_no_block_and_is_no_lag() -> None:
    """As the marks of transactions, and what they took back."""
    worker = await begun()
    await worker.ingestor.take(batch([rating(0), rating(1)], end=4))
    assert worker.ingestor.committable() == {3: 0}
    await worker.answer(0)
    assert worker.ingestor.committable() == {3: 4}
    await worker.ingestor.take(batch([], begin=5, end=7))
    assert worker.ingestor.committable() == {3: 4}  # what is at 4 nobody has seen
    await worker.ingestor.take(batch([], begin=2, end=7))
    assert worker.ingestor.committable() == {3: 7}
    # A record behind them is a gap, which is read again and believed.
    for _ in range(2):
        await worker.ingestor.take(batch([rating(7)], end=9))
    assert (worker.ranges()[-1], worker.reads) == ((2, 8, 1), [2])
    assert worker.ingestor.committable() == {3: 2}
    await worker.answer(1)
    assert worker.ingestor.committable() == {3: 9}


async def test_marks_that_follow_on_one_another_are_passed_too() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)], end=2))
    await worker.answer(0)
    await worker.ingestor.take(batch([], begin=2, end=3))
    assert worker.ingestor.committable() == {3: 3}
    await worker.ingestor.take(batch([], begin=1, end=2))  # read again
    assert worker.ingestor.committable() == {3: 3}


async def test_decoding_lets_others_run_between_slices() -> None:
    worker = await begun(learn_slice=0.0, chunk=2)
    seen = set()
    taking = asyncio.create_task(worker.ingestor.take(batch([rating(each) for each in range(40)])))
    while not taking.done():
        seen.add(len(worker.ranges()))
        await asyncio.sleep(0)
    await taking
    assert len(seen) > 10


kinds = st.lists(st.sampled_from(["rating", "rating", "rating", "bad", "none"]), max_size=40)

steps = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5), st.booleans()), max_size=30)


@fewer
@given(kinds, steps)
async def test_each_rating_counts_once_however_it_is_fetched(
    of: list[str], cuts: list[tuple[int, int, bool]]
) -> None:
    """Some of it again, some of it ahead, by owners that come and go: the journal has each once, in order."""
    log = [
        rating(offset) if kind == "rating" else bad(offset)
        for offset, kind in enumerate(of)
        if kind != "none"
    ]

    worker = await begun(chunk=3)
    place, committed = 0, 0
    for count, back, moves in [*cuts, *[(9, 0, False)] * 12]:
        if moves:
            revoking = asyncio.create_task(worker.ingestor.revoke())
            await worker.answer_all()
            committed = (await revoking).get(3, committed)
            worker.applied = None
            place = await worker.begin(committed=committed)
        begin = max(0, place - back)
        found = [each for each in log if begin <= each.offset < place + count]
        end = min(place + count, len(of))
        if end > begin:
            await worker.ingestor.take(batch(found, begin, end))
            place = worker.reads[-1] if worker.reads else end
            worker.reads.clear()
    await worker.answer_all()
    assert worker.ingestor.committable() == {3: len(of)}
    blocks = [Block(offset, value) for offset, (_, value, _) in enumerate(worker.journal.sent)]
    rule = Rule("journal")
    counted = listed(rule.follow(blocks).rows) if blocks else []
    assert [user for user, *_ in counted] == [
        f"u{offset}" for offset, kind in enumerate(of) if kind == "rating"
    ]
    assert rule.counts.ahead == 0
    expected = {offset for offset, kind in enumerate(of) if kind == "bad"}
    assert {offset for _, offset in worker.letters()} == expected


async def test_letters_are_what_ingest_says() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([FakeRecord(0, b"bad", b"key", 99, (("a", b"1"),))]))
    letter: Outgoing
    (letter,) = worker.sent.to("dlt")
    assert (letter.partition, letter.key, letter.value, letter.timestamp) == (1, b"key", b"bad", 99)
    assert letter.headers[0] == ("a", b"1")
    assert dict(letter.headers)["__connect.errors.partition"] == b"3"


async def test_records_are_read_once_all_is_there_and_no_further_ahead_than_is_learned() -> None:
    steps: list[str] = []

    async def prepare(records: Sequence[Record]) -> None:
        steps.append(f"prepared {len(records)}, wrote {len(worker.journal.sent)}")

    async def keep_up() -> None:
        steps.append(f"wrote {len(worker.journal.sent)}")

    worker = await begun(prepare=prepare, keep_up=keep_up)
    await worker.ingestor.take(batch([rating(0), rating(1)]))
    assert steps == ["prepared 2, wrote 0", "wrote 1"]
