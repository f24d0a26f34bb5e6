"""A sample of the newest ratings and answers, for the live page; nothing is kept while no page shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from recommender.history.rows import FORGET_ITEM, FORGET_USER, RATING, Rows
from recommender.messages.responses import Response

#: At most one of each kind is taken in this many seconds.
EVERY_SECONDS = 0.2
#: This many of each kind are kept.
KEPT = 8
#: Items of an answer that are shown.
SHOWN = 3


class JustNow:
    """Takes samples.

    Parameters
    ----------
    now : function
        Seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self.watched = False
        self._ratings: deque[dict[str, object]] = deque(maxlen=KEPT)
        self._answers: deque[dict[str, object]] = deque(maxlen=KEPT)
        self._rating_at = self._answer_at = -EVERY_SECONDS
        self._count = 0

    def learned(self, rows: Rows) -> None:
        """Take the last of some ratings that were learned, unless one was taken a moment ago."""
        for place, kind in rows.others():
            name = "item" if kind == FORGET_ITEM else "user"
            self._forget(name, rows.id_at(place, 0 if kind == FORGET_USER else 2))
        if rows.kinds is not None and len(rows.kinds) and rows.kinds[-1] != RATING:
            return
        count, now = len(rows.ratings), self._now()
        if not self.watched or not count or now < self._rating_at + EVERY_SECONDS:
            return
        self._rating_at = now
        last = rows.part(count - 1, count)
        value = float(last.ratings[0])
        self._ratings.appendleft(
            {
                "id": self._next(),
                "user": last.ids(0)[0],
                "item": last.ids(2)[0],
                "rating": None if value != value else round(value, 3),
            }
        )

    def answered(self, response: Response) -> None:
        """Take an answer, unless one was taken a moment ago."""
        now = self._now()
        if not self.watched or now < self._answer_at + EVERY_SECONDS:
            return
        self._answer_at = now
        items = [each.item for each in response.items[:SHOWN]]
        self._answers.appendleft({"id": self._next(), "user": response.user, "items": items})

    def _forget(self, name: str, identifier: str) -> None:
        """Show nothing any more of who is forgotten."""
        for shown in (self._ratings, self._answers):
            kept = [each for each in shown if each.get(name) != identifier]
            shown.clear()
            shown.extend(kept)

    def _next(self) -> int:
        self._count += 1
        return self._count

    def shown(self) -> dict[str, list[dict[str, Any]]]:
        """The answers that were taken, newest first."""
        return {"ratings": list(self._ratings), "answers": list(self._answers)}
