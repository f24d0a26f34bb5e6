"""The journal and the recommendations log, joined while they are read.

Ratings come from the journal by its rule, so each counts once, however often it was written. A user's ratings
and recommendations meet wherever they stand, so both logs may have any number of partitions.

What is read may be out of order by event time, but within a partition of the log, and within what the journal
has of one source, not by more than `lateness`: what lies further behind the newest before it there is late,
and left out. So what counts is a function of the logs alone, however reading was cut and interleaved; and
what lies further behind than the one that is furthest behind is settled.

A source that stands still while others move on would hold everything back for ever. A source that gave
nothing for 30 days is taken to lag at most as much behind the others, and so is a partition that was read to
its end. Only what comes after that, or from a source that was not there before, and is older than what is
settled, depends on when somebody read; it is told as late.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.experiments.attribution import WINDOW, Attribution
from recommender.experiments.attribution_tables import Counts
from recommender.experiments.log_progress import STANDSTILL, JournalProgress, LogProgress
from recommender.history.arrays import Arrays, flat, parted
from recommender.history.id_table import ITEM, USER
from recommender.ingest.ingest import written_at
from recommender.journal.block import Source, head_of
from recommender.journal.rule import Rule
from recommender.messages import recommendations_log
from recommender.messages.ratings import BadMessage
from recommender.messages.records import Record
from recommender.messages.unreadable import Unreadable
from recommender.shard.feedback import Feedback

#: One day, in seconds.
LATENESS = 86_400.0
#: This many more rows than were left last time are collected before they are settled.
SETTLE_ROWS = 100_000


class JoinedLogs:
    """Both logs as far as they were read.

    Parameters
    ----------
    rules : sequence of Rule
        Of each partition of the journal.
    partitions : int
        Of the recommendations log.
    feedback : Feedback
        What is a positive rating, and the scale.
    window : float
        As in `Attribution`, as `since` and `until`.
    lateness : float
        How far out of order event times may be, in seconds.
    standstill : float
        How far a log may lag behind another that continues, in seconds.
    settle_rows : int
        This many more rows than were left last time are collected before they are settled.

    Attributes
    ----------
    journal, recommendations : list of LogProgress
        How far each partition was read. The journal's records are its ratings that count.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        partitions: int,
        feedback: Feedback,
        *,
        window: float = WINDOW,
        lateness: float = LATENESS,
        since: float = -math.inf,
        until: float = math.inf,
        standstill: float = STANDSTILL,
        settle_rows: int = SETTLE_ROWS,
    ) -> None:
        self.journal = [JournalProgress(offset=rule.position, standstill=standstill) for rule in rules]
        self.recommendations = [LogProgress() for _ in range(partitions)]
        self._rules = rules
        self._feedback = feedback
        self._lateness = lateness
        self._standstill = standstill
        self._settle_rows = settle_rows
        self._attribution = Attribution(window, since, until)
        self._settled_rows = 0

    def __len__(self) -> int:
        """Places and ratings that are not settled yet."""
        return len(self._attribution)

    def skip_journal(self, partition: int, offset: int) -> None:
        """Continue at an offset of the journal, if it has lost what comes before."""
        rule = self._rules[partition]
        if offset > rule.position:
            rule.skip_to(offset)
            self.journal[partition].offset = offset

    def take_blocks(self, partition: int, records: Sequence[Record]) -> None:
        """Take consecutive records of a partition of the journal, but for those taken before.

        Raises
        ------
        BlockError
            One is not a block that this version can read; what comes before it was taken.
        """
        rule, progress = self._rules[partition], self.journal[partition]
        before = rule.counts.rows
        followed = rule.follow(records)
        rows = followed.rows
        progress.offset = rule.position
        progress.records += len(rows.times)
        counts = followed.taken.tolist()  # shorter where a block cannot be read
        written = np.repeat(written_at(records[: len(counts)]), counts)
        sources: list[Source] = []
        for record, count in zip(records, counts, strict=False):
            sources += [head_of(record.value or b"").source] * count
        in_time = progress.reached_by(rows.times, written, self._lateness, sources)
        signs = signs_of(self._feedback, rows.ratings)
        wanted = np.flatnonzero(in_time & (signs != 0) & rows.are_ratings)
        users, items = rows.ids(USER), rows.ids(ITEM)
        places = wanted.tolist()
        self._attribution.rated_all(
            [users[place] for place in places],
            [items[place] for place in places],
            signs[wanted],
            rows.times[wanted],
            before + wanted,
        )
        if followed.error is not None:
            raise followed.error

    def take_recommendations(self, partition: int, records: Sequence[Record]) -> None:
        """Take consecutive records of a partition of the recommendations log, but for those taken before."""
        progress = self.recommendations[partition]
        found, written = [], []
        for record in _new(progress, records):
            if isinstance(record, Unreadable):
                progress.is_bad(record, record.cause)
                continue
            try:
                found.append(recommendations_log.decode(record.value))
            except BadMessage as error:
                progress.is_bad(record, str(error))
                continue
            written.append(record)
        times = np.array([logged.timestamp for logged in found], np.float64)
        in_time = progress.reached(times, written_at(written), self._lateness)
        for logged, counts in zip(found, in_time.tolist(), strict=True):
            if counts:
                places = [(place.item, place.source, place.position) for place in logged.items]
                self._attribution.recommended(
                    logged.user,
                    logged.request,
                    logged.experiment,
                    logged.arm,
                    time=logged.timestamp,
                    places=places,
                    forced=logged.forced,
                )

    @property
    def has_grown(self) -> bool:
        """True if enough was collected for settling to be worth its time."""
        return len(self) >= 2 * self._settled_rows + self._settle_rows

    def settle(self, ended: Iterable[LogProgress] = ()) -> None:
        """Fold what is certain into counts.

        Parameters
        ----------
        ended : iterable of LogProgress
            Partitions that were read to their ends: they lag at most 30 days behind the newest.
        """
        logs = [*self.journal, *self.recommendations]
        newest = max(each.frontier for each in logs)
        for each in ended:
            each.lift(newest - self._standstill)
        least = min(each.frontier for each in logs)
        for each in logs:
            each.lift(least)
        self._attribution.settle(least - self._lateness)
        self._settled_rows = len(self)

    def settle_at_ends(self) -> None:
        """Fold what is certain into counts; all was read to the ends that it had at one moment."""
        self.settle([*self.journal, *self.recommendations])

    def counts(self) -> Counts:
        """Count all that was read."""
        return self._attribution.counts()

    def state(self) -> Arrays:
        """All of it as named arrays; `restore` of it continues as if there had been no break."""
        parts: dict[str, Arrays] = {"attribution": self._attribution.state()}
        for name, logs in (("journal", self.journal), ("recommendations", self.recommendations)):
            parts |= {f"{name}-{partition}": each.state() for partition, each in enumerate(logs)}
        parts |= {f"rule-{partition}": rule.state() for partition, rule in enumerate(self._rules)}
        return flat(parts)

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave, with the same parameters; the log may have got more partitions."""
        parts = parted(state)
        self._attribution.restore(parts["attribution"])
        self._settled_rows = len(self)
        for partition, (rule, progress) in enumerate(zip(self._rules, self.journal, strict=True)):
            rule.restore(parts[f"rule-{partition}"])
            progress.restore(parts[f"journal-{partition}"])
        known = [name for name in parts if name.startswith("recommendations-")]
        for partition, each in enumerate(self.recommendations[: len(known)]):
            each.restore(parts[f"recommendations-{partition}"])
        # Nothing in a new partition may be older than what is settled.
        least = min(each.frontier for each in [*self.journal, *self.recommendations[: len(known)]])
        for each in self.recommendations[len(known) :]:
            each.lift(least)


def signs_of(feedback: Feedback, ratings: NDArray[np.floating]) -> NDArray[np.int8]:
    """1 for each positive rating, -1 for each negative one, 0 for what is neither.

    Of signed ratings the sign counts; else those of at least the threshold are positive and all others
    negative. NaN withdraws, which is neither.
    """
    values = ratings.astype(np.float32)
    if feedback.kind == "signed":
        signs = np.sign(values)
    else:
        signs = np.where(values >= np.float32(feedback.threshold), 1.0, -1.0)
    return np.where(np.isnan(values), 0.0, signs).astype(np.int8)


def _new(progress: LogProgress, records: Sequence[Record]) -> Sequence[Record]:
    """The records that were not taken before; from now on they were."""
    new = [record for record in records if record.offset >= progress.offset]
    progress.records += len(new)
    if new:
        progress.offset = new[-1].offset + 1
    return new
