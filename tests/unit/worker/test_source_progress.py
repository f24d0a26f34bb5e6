"""How far behind a worker says that it is."""

from __future__ import annotations

from recommender.worker.source_progress import SourceProgress
from tests.support.doubles import FakeRecord


class Setup:
    """Progress in partition 3, whose end, learned offset and time are set by hand."""

    def __init__(self) -> None:
        self.end, self.learned, self.now = 100, 0, 1000.0
        self.delays: list[float] = []
        self.progress = SourceProgress(
            lambda: {3: self.end}, lambda partition: self.learned, self.delays.append, lambda: self.now
        )

    def sent(self, first: int, *written: float) -> None:
        records = [
            FakeRecord(first + place, b"", timestamp=int(each * 1000)) for place, each in enumerate(written)
        ]
        self.progress.sent(3, records)

    def applied(self, offset: int) -> None:
        self.learned = offset
        self.progress.applied(3, offset)


def test_the_delay_of_the_oldest_record_of_each_run_that_is_learned() -> None:
    setup = Setup()
    setup.sent(0, 990.0, 994.0)
    setup.sent(2, 995.0)
    setup.applied(1)
    assert setup.delays == []  # the run is not all learned
    setup.applied(3)
    assert setup.delays == [10.0, 5.0]


def test_records_that_are_read_again_count_once() -> None:
    setup = Setup()
    setup.sent(0, 990.0, 990.0)
    setup.sent(0, 990.0, 990.0)
    setup.applied(2)
    assert setup.delays == [10.0]


def test_a_clock_that_is_ahead_makes_no_negative_delay() -> None:
    setup = Setup()
    setup.sent(0, 1005.0)
    setup.applied(1)
    assert setup.delays == [0.0]


def test_the_lag_in_records_and_seconds() -> None:
    setup = Setup()
    assert setup.progress.lags() == {3: (100, 0.0)}  # nothing was learned since this worker got it
    setup.sent(0, *[990.0] * 40)
    setup.applied(40)
    setup.now = 1002.0
    assert setup.progress.lags() == {3: (60, 12.0)}
    setup.learned = 100
    assert setup.progress.lags() == {3: (0, 0.0)}
    setup.learned = 101  # a fetch has not come yet since
    assert setup.progress.lags() == {3: (0, 0.0)}


def test_a_partition_that_is_not_read_here_has_no_lag() -> None:
    progress = SourceProgress(lambda: {3: 10}, lambda partition: None, lambda seconds: None)
    assert progress.lags() == {}


def test_a_partition_that_moved_away_is_forgotten() -> None:
    setup = Setup()
    setup.sent(0, 990.0)
    setup.applied(1)
    setup.progress.keep_only(set())
    assert setup.progress.lags() == {3: (99, 0.0)}
