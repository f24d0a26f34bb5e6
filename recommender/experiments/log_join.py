"""The ratings log and the recommendations log, joined partition by partition while they are read.

A user's ratings and recommendations are in partitions of one number, so each pair of partitions has a join
of its own. What is read may be out of order by event time, but not by more than `lateness`: a record that
lies further behind the newest before it in its partition is late, and left out. So what counts is a function
of the two logs alone, however reading was cut and interleaved; and what lies so far back is settled.

A partition that stands still while the other goes on would hold everything back for ever. When both were
read to their ends, it is taken to lag at most 30 days behind. Only what comes after that, and is older still,
depends on when somebody read; it is told as late.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recommender.experiments.attribution import WINDOW, Arrays, Attribution
from recommender.experiments.attribution_counts import Counts, merged
from recommender.experiments.log_progress import Progress
from recommender.history.id_table import ITEM, USER
from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import written_at
from recommender.messages import recommendations_log
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import BadMessage, Rating
from recommender.messages.records import Record
from recommender.messages.unreadable import Unreadable
from recommender.shard.feedback import Feedback

#: One day, in seconds.
LATENESS = 86_400.0
#: How far a log may lag behind the other when both were read to their ends: 30 days, in seconds.
STANDSTILL = 30 * 86_400.0
#: So many more rows than were left last time are collected before they are settled.
SETTLE_ROWS = 100_000


@dataclass(slots=True)
class _Pair:
    """A partition of both logs."""

    attribution: Attribution
    ratings: Progress = field(default_factory=Progress)
    recommendations: Progress = field(default_factory=Progress)
    settled_rows: int = 0


class JoinedLogs:
    """Both logs as far as they were read.

    Parameters
    ----------
    partitions : int
        How many each topic has.
    feedback : Feedback
        What is a positive rating, and the scale.
    window : float
        As in `Attribution`, as `since` and `until`.
    lateness : float
        How far out of order event times may be, in seconds.
    """

    def __init__(
        self,
        partitions: int,
        feedback: Feedback,
        window: float = WINDOW,
        lateness: float = LATENESS,
        since: float = -math.inf,
        until: float = math.inf,
    ) -> None:
        self.partitions = partitions
        self.window = window
        self._lateness = lateness
        self._feedback = feedback
        self._decoder = BatchDecoder(feedback.low, feedback.high, skips=feedback.skips)
        self._pairs = [_Pair(Attribution(window, since, until)) for _ in range(partitions)]
        self._owner = lru_cache(maxsize=1 << 16)(partition_of)

    @property
    def ratings(self) -> list[Progress]:
        """How far each partition of the ratings was read."""
        return [pair.ratings for pair in self._pairs]

    @property
    def recommendations(self) -> list[Progress]:
        """How far each partition of the recommendations log was read."""
        return [pair.recommendations for pair in self._pairs]

    def __len__(self) -> int:
        """Places and ratings that are not settled yet."""
        return sum(len(pair.attribution) for pair in self._pairs)

    def take_ratings(self, partition: int, records: Sequence[Record]) -> None:
        """Take consecutive records of a partition of the ratings, but for those taken before."""
        pair = self._pairs[partition]
        records = _new(pair.ratings, records)
        if not records:
            return
        rows = self._decoder.read(records)
        users, items = rows.ids(USER), rows.ids(ITEM)
        for place in np.flatnonzero(~rows.plain).tolist():
            rating = self._look_closely(partition, records[place])
            if rating is not None:
                rows.plain[place] = True
                users[place], items[place] = rating.user, rating.item
                rows.ratings[place] = np.nan if rating.rating is None else rating.rating
                rows.times[place] = np.nan if rating.timestamp is None else rating.timestamp
        ours = np.flatnonzero(rows.plain & self._owned(partition, users))
        written = written_at([records[place] for place in ours.tolist()])
        times = np.where(np.isnan(rows.times[ours]), written, rows.times[ours])
        in_time = pair.ratings.reached(times, written, self._lateness)
        signs = signs_of(self._feedback, rows.ratings[ours])
        wanted = np.flatnonzero(in_time & (signs != 0))
        places = ours[wanted].tolist()
        pair.attribution.rated_all(
            [users[place] for place in places],
            [items[place] for place in places],
            signs[wanted],
            times[wanted],
            np.array([records[place].offset for place in places], np.int64),
        )

    def _owned(self, partition: int, users: Sequence[str]) -> NDArray[np.bool_]:
        """Which users' ratings count in a partition.

        One in another partition than its user's is forwarded by the worker: the copy counts, once.
        """
        owned = {user for user in set(users) if self._owns(partition, user)}
        return np.fromiter((user in owned for user in users), np.bool_, len(users))

    def _owns(self, partition: int, user: str) -> bool:
        return self.partitions == 1 or self._owner(user, self.partitions) == partition

    def _look_closely(self, partition: int, record: Record) -> Rating | None:
        """The rating in a record that is not plain, if it counts in this partition."""
        pair = self._pairs[partition]
        if isinstance(record, Unreadable):
            pair.ratings.is_bad(record, record.cause)
            return None
        try:
            rating = self._decoder.decode(record.value, record.headers)
        except BadMessage as error:
            pair.ratings.is_bad(record, str(error))
            return None
        if not self._owns(partition, rating.user):
            return None
        return rating

    def take_recommendations(self, partition: int, records: Sequence[Record]) -> None:
        """Take consecutive records of a partition of the recommendations log, as `take_ratings` does."""
        pair = self._pairs[partition]
        progress = pair.recommendations
        found, written = [], []
        for record in _new(progress, records):
            if isinstance(record, Unreadable):
                progress.is_bad(record, record.cause)
                continue
            try:
                logged = recommendations_log.decode(record.value)
            except BadMessage as error:
                progress.is_bad(record, str(error))
                continue
            if not self._owns(partition, logged.user):
                owner = self._owner(logged.user, self.partitions)
                progress.is_bad(record, f"user {logged.user!r} belongs to partition {owner}")
                continue
            found.append(logged)
            written.append(record)
        times = np.array([logged.timestamp for logged in found], np.float64)
        in_time = progress.reached(times, written_at(written), self._lateness)
        for logged, counts in zip(found, in_time.tolist(), strict=True):
            if counts:
                places = [(place.item, place.source, place.position) for place in logged.items]
                shown = logged.user, logged.request, logged.experiment, logged.arm, logged.timestamp
                pair.attribution.recommended(*shown, places, forced=logged.forced)

    def ahead(self, partition: int) -> float:
        """How far the ratings of a partition are ahead of its recommendations, in seconds of event time."""
        pair = self._pairs[partition]
        if pair.ratings.frontier == pair.recommendations.frontier:
            return 0.0
        return pair.ratings.frontier - pair.recommendations.frontier

    def settle(self) -> None:
        """Fold what is certain into counts, where enough has come together for that to be worth while."""
        for pair in self._pairs:
            if len(pair.attribution) >= 2 * pair.settled_rows + SETTLE_ROWS:
                self._settle(pair)

    def settle_at_ends(self) -> None:
        """Fold what is certain into counts; both logs were read to the ends that they had at one moment."""
        for pair in self._pairs:
            newest = max(pair.ratings.frontier, pair.recommendations.frontier)
            for progress in (pair.ratings, pair.recommendations):
                progress.frontier = max(progress.frontier, newest - STANDSTILL)
            self._settle(pair)

    def _settle(self, pair: _Pair) -> None:
        pair.attribution.settle(min(pair.ratings.frontier, pair.recommendations.frontier) - self._lateness)
        pair.settled_rows = len(pair.attribution)

    def counts(self) -> Counts:
        """What all that was read comes to."""
        return merged(pair.attribution.counts() for pair in self._pairs)

    def state(self) -> Arrays:
        """All of it as named arrays; `restore` of it goes on as if there had been no break."""
        state: Arrays = {}
        for partition, pair in enumerate(self._pairs):
            parts: dict[str, Arrays] = {
                "attribution": pair.attribution.state(),
                "ratings": pair.ratings.state(),
                "recommendations": pair.recommendations.state(),
            }
            for part, arrays in parts.items():
                state |= {f"{partition}/{part}/{name}": array for name, array in arrays.items()}
        return state

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave, with the same parameters."""
        for partition, pair in enumerate(self._pairs):

            def part(name: str, partition: int = partition) -> Arrays:
                start = f"{partition}/{name}/"
                return {key[len(start) :]: array for key, array in state.items() if key.startswith(start)}

            pair.attribution.restore(part("attribution"))
            pair.ratings.restore(part("ratings"))
            pair.recommendations.restore(part("recommendations"))
            pair.settled_rows = len(pair.attribution)


def signs_of(feedback: Feedback, ratings: NDArray[np.float64]) -> NDArray[np.int8]:
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


def _new(progress: Progress, records: Sequence[Record]) -> Sequence[Record]:
    """The records that were not taken before; from now on they were."""
    new = [record for record in records if record.offset >= progress.offset]
    progress.records += len(new)
    if new:
        progress.offset = new[-1].offset + 1
    return new
