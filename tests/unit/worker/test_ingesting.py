"""Ingesting: blocks account for all that was read, after its letters; only what is there is committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import Ingest, Ingested
from recommender.journal.block import Source, head_of
from recommender.journal.errors import SourceShorter
from recommender.journal.rule import Rule
from recommender.journal.writer import JournalWriter
from recommender.messages.records import Outgoing
from recommender.worker import ingesting
from recommender.worker.ingesting import Ingestor
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.transport.batch import Batch
from recommender.worker.transport.spans import Span
from tests.support.doubles import FakeRecord, Sent, fewer, rating_value, until
from tests.unit.journal.blocks import TOPIC, Block, listed
from tests.unit.journal.test_writer import Journal

DECODER = 77


def rating(offset: int) -> FakeRecord:
    return FakeRecord(offset, rating_value(f"u{offset}", "x", 5, timestamp=offset))


def bad(offset: int) -> FakeRecord:
    return FakeRecord(offset, b"bad")


def batch(records: Sequence[FakeRecord], begin: int | None = None, end: int | None = None) -> Batch:
    """What a fetch brought, by default nothing but these records."""
    fetched: list[Any] = list(records)
    begin = fetched[0].offset if begin is None else begin
    return Batch("ratings", 3, fetched, begin, fetched[-1].offset + 1 if end is None else end)


class Worker:
    """An ingestor of partition 3 on a journal that answers when it is told to."""

    def __init__(self, learn_slice: float = 60.0, **limits: Any) -> None:
        self.journal, self.sent = Journal(), Sent()
        self.rule = Rule("journal")
        self.applied: int | None = 0
        self.reads: list[int] = []
        self.ingested: list[tuple[int, Ingested]] = []
        self.followed = 0
        self.writer = JournalWriter(self.journal, self._read_again, rules=self._rules, retry_seconds=0.0)
        self.ingestor = Ingestor(
            Ingest("ratings", BatchDecoder(0.5, 5.0)),
            self.writer,
            self.sent.together,
            topic_id=TOPIC,
            decoder=DECODER,
            dead_letter_topic="dlt",
            letter_partitions=2,
            applied=lambda source: self.applied,
            follow_to_end=self._follow_to_end,
            pace=Pace(learn_slice, RecentRequests()),
            ingested=lambda partition, ingested, records: self.ingested.append((partition, ingested)),
            **limits,
        )

    def _rules(self) -> list[Rule]:
        return []

    async def _read_again(self, source: Source, offset: int) -> None:
        assert source == Source(TOPIC, 3)
        self.reads.append(offset)

    async def _follow_to_end(self) -> None:
        self.followed += 1

    async def begin(self, **span: Any) -> int:
        """Own the partition; where it is read from."""
        found = Span(**{"begins": 0, "ends": 1000, "committed": None, **span})
        return (await self.ingestor.begin({3: found}))[3]

    def ranges(self) -> list[tuple[int, int, int]]:
        """From and to where each block accounts, and its rows."""
        heads = [head_of(value) for _, value, _ in self.journal.sent]
        assert {each.source for each in heads} <= {Source(TOPIC, 3)}
        assert {each.decoder for each in heads} <= {DECODER}
        return [(each.begin, each.end, each.rows) for each in heads]

    async def answer(self, *places: int) -> None:
        """Acknowledge blocks."""
        for place in places:
            self.journal.answer(place)
        await asyncio.sleep(0)

    async def answer_all(self) -> None:
        """Acknowledge all that was sent."""
        await self.answer(*(place for place, each in enumerate(self.journal.sent) if not each[2].done()))

    def letters(self) -> list[tuple[int | None, int]]:
        """The partitions of the letters, and their records' offsets."""
        told = [(each.partition, dict(each.headers)) for each in self.sent.to("dlt")]
        return [(partition, int(headers["__connect.errors.offset"])) for partition, headers in told]


async def begun(**options: Any) -> Worker:
    """A worker that owns the partition from its first record on."""
    worker = Worker(**options)
    assert await worker.begin() == 0
    return worker


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


async def test_what_moved_away_is_left_alone_and_its_answers_are_waited_for() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)]))
    await worker.ingestor.take(batch([rating(1)]))
    revoking = asyncio.create_task(worker.ingestor.revoke([3]))
    await asyncio.sleep(0)
    assert worker.ingestor.committable() == {}
    await worker.ingestor.take(batch([bad(2)]))
    assert (len(worker.ranges()), worker.letters()) == (2, [])
    await worker.answer(0, 1)
    assert await revoking == {3: 2}
    assert await worker.ingestor.revoke() == {}


async def test_who_comes_back_forgets_what_it_passed() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)], end=9))
    await worker.answer(0)
    await worker.ingestor.revoke()
    worker.applied = 1
    assert await worker.begin() == 1
    assert worker.ingestor.committable() == {3: 1}


async def test_what_is_refused_is_read_again_and_counted_again_only_then() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)]))
    await worker.ingestor.take(batch([rating(1)]))
    worker.journal.refuse(0)
    await asyncio.sleep(0)
    await worker.ingestor.take(batch([rating(2)]))  # fetched before it was refused
    assert len(worker.ranges()) == 2
    await worker.answer(1)
    assert worker.ingestor.committable() == {3: 0}
    await until(lambda: worker.reads)
    assert worker.reads == [0]
    await worker.ingestor.take(batch([rating(0), rating(1), rating(2)]))
    assert worker.ranges()[-1] == (0, 3, 3)
    await worker.answer(2)
    assert worker.ingestor.committable() == {3: 3}


@pytest.mark.parametrize(
    ("applied", "committed", "expected"),
    [(40, 30, 40), (40, 50, 40), (0, None, 0), (None, 30, 30), (None, None, 0)],
)
async def test_it_begins_where_the_source_is_applied_or_else_where_the_group_is(
    applied: int | None, committed: int | None, expected: int
) -> None:
    worker = await begun()
    worker.applied = applied
    followed = worker.followed
    assert await worker.begin(committed=committed) == expected
    assert worker.followed == followed + 1
    assert worker.ingestor.committable() == {3: expected}


async def test_a_source_that_ends_before_what_is_applied_is_refused() -> None:
    worker = await begun()
    worker.applied = 40
    with pytest.raises(SourceShorter, match=r"ratings\[3\] ends at offset 39, but offset 40 comes next"):
        await worker.begin(ends=39)


@pytest.mark.parametrize(("applied", "level"), [(40, logging.WARNING), (0, logging.INFO)])
async def test_what_expired_before_it_was_read_is_told(
    applied: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        worker = await begun()
        worker.applied = applied
        assert await worker.begin(begins=60) == 60
        # The first block accounts for what is gone, else nothing behind it would count.
        for _ in range(2):
            await worker.ingestor.take(batch([rating(60)]))
        assert worker.ranges() == [(applied, 61, 1)]
    (told,) = [each for each in caplog.records if each.name == ingesting.__name__]
    assert told.levelno == level
    assert told.getMessage() == f"ratings[3] begins at offset 60, and offset {applied} comes next"


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

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingesting, "CHUNK", 3)
        worker = await begun()
        place, committed = 0, 0

        async def read_again(source: Source, offset: int) -> None:
            nonlocal place
            place = offset

        worker.writer._read_again = read_again
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
                place = end
                await worker.ingestor.take(batch(found, begin, end))
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
