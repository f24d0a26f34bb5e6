"""Figures for the live page: taken once a second, and kept for ten minutes."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from recommender import __version__
from recommender.web.health import Health
from recommender.worker.just_now import JustNow
from recommender.worker.metrics import Metrics
from recommender.worker.picture import Picture
from recommender.worker.replicas import Replicas
from recommender.worker.verdict import Figures, verdict

#: Seconds that are remembered.
KEPT = 600
#: The percentiles of replies are those of this many seconds.
REPLY_SECONDS = 10


class Pulse:
    """Takes figures once a second, and tells pages of them.

    Parameters
    ----------
    metrics : Metrics
    replicas : Replicas
    health : Health
    picture : Picture
    just_now : JustNow
    standby : function
        Whether this worker reads no partition.
    now : function
        Seconds since 1970.
    """

    def __init__(
        self,
        metrics: Metrics,
        replicas: Replicas,
        health: Health,
        picture: Picture,
        just_now: JustNow,
        standby: Callable[[], bool],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._metrics, self._replicas, self._health = metrics, replicas, health
        self._picture, self._just_now, self._standby, self._now = picture, just_now, standby, now
        self._series: deque[list[float | None]] = deque(maxlen=KEPT)
        self._took: deque[NDArray[np.float64]] = deque(maxlen=REPLY_SECONDS)
        self._before = (time.monotonic(), *metrics.counters.totals())
        self._watching = self._watching_people = 0
        self._changed = asyncio.Condition()
        self._ticks: dict[bool, bytes] = {}
        self._closed = False

    async def beat(self) -> None:
        """Sleep to the next full second and take the figures; to be called again and again."""
        await asyncio.sleep(1.0 - self._now() % 1.0)
        self.take()
        async with self._changed:
            self._changed.notify_all()

    def take(self) -> None:
        """Take the figures of the second that has passed."""
        at, ratings, replies = time.monotonic(), *self._metrics.counters.totals()
        before, ratings_before, replies_before = self._before
        self._before = at, ratings, replies
        passed = max(0.001, at - before)
        self._took.append(np.array(self._metrics.counters.take_reply_seconds(), np.float64))
        took = np.concatenate(self._took)
        half, most = np.percentile(took, [50, 99]).tolist() if len(took) else (None, None)
        lag_records, lag_seconds = self._lag()
        figures = Figures(
            (ratings - ratings_before) / passed,
            (replies - replies_before) / passed,
            sum(held.replica.shard.events for held in self._replicas),
            lag_records,
            lag_seconds,
            self._saved_age(),
            self._standby(),
        )
        milliseconds = None if most is None else round(most * 1000, 2)
        self._series.append(
            [
                round(self._now(), 1),
                round(figures.ratings, 1),
                round(lag_seconds, 2),
                round(figures.replies, 1),
                milliseconds,
            ]
        )
        if self._watching:
            self._log_slow(figures, half, most)

    def _lag(self) -> tuple[int, float]:
        """The lag in learning: the sum of records, and the longest time."""
        sources = [lag for topic in self._metrics.topics() for lag in topic.progress.lags().values()]
        journal = [self._metrics.journal_lag(held.replica.partition) for held in self._replicas]
        found = [*sources, *journal]
        return sum(records for records, _ in found), max((seconds for _, seconds in found), default=0.0)

    def _saved_age(self) -> float | None:
        saved = [held.saved_at for held in self._replicas if held.saved_at == held.saved_at]
        return max(0.0, self._now() - min(saved)) if saved else None

    def _log_slow(self, figures: Figures, half: float | None, most: float | None) -> None:
        checks = self._health.checks()
        told: dict[str, Any] = {
            "point": self._series[-1],
            "verdict": verdict(checks, figures),
            "checks": [each._asdict() for each in checks],
            "figures": {
                "ratings": figures.ratings,
                "replies": figures.replies,
                "events": figures.events,
                "lag_records": figures.lag_records,
                "lag_seconds": figures.lag_seconds,
                "half": half,
                "most": most,
                "memory": memory(),
                "up": self._metrics.loop.up_seconds,
            },
            **self._picture.shown(),
        }
        self._ticks[False] = orjson.dumps(told)
        if self._watching_people:
            told |= {
                "just_now": self._picture.named(self._just_now.shown()),
                "examples": self._picture.examples(),
            }
            self._ticks[True] = orjson.dumps(told)

    def start(self, *, people: bool) -> bytes:
        """The content of a page that was just opened: the figures of ten minutes, and how to rate."""
        return orjson.dumps(
            {
                "version": __version__,
                "people": people,
                "series": [list(each) for each in zip(*self._series, strict=True)],
                **self._picture.fixed(),
            }
        )

    async def ticks(self, *, people: bool) -> AsyncIterator[bytes]:
        """The latest figures, once a second, until the worker stops. A slow page misses some."""
        self._watching += 1
        self._watching_people += people
        self._just_now.watched = self._watching_people > 0
        try:
            self.take()
            while not self._closed:
                yield self._ticks[people]
                async with self._changed:
                    await self._changed.wait()
        finally:
            self._watching -= 1
            self._watching_people -= people
            self._just_now.watched = self._watching_people > 0

    def history(self, user: str) -> dict[str, object] | None:
        """A user's ratings; None where another worker knows them."""
        return self._picture.history(user)

    def items(self, part: str) -> list[dict[str, str | None]]:
        """Some items whose title or id has a part."""
        return self._picture.items(part)

    async def close(self) -> None:
        """End all pages' streams: a worker that stops does not wait for pages."""
        self._closed = True
        async with self._changed:
            self._changed.notify_all()


def memory() -> int:
    """Resident memory of this process, in bytes; the most so far where it is not known what it is now."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - a path object costs more than the read
            return int(file.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
