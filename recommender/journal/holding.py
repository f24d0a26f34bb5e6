"""Holds what is to be written to the journal for a moment, where a rewriting asks for it.

A journal that takes blocks all the time is never copied to its end. So a rewriting that does not catch up
writes a mark, and whoever follows it writes nothing until the rewriting is complete, but for no longer than
`HOLD_SECONDS` for each mark: it may have died. That nobody writes is no condition of anything, so a writer
that has not followed the mark yet does no harm.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from recommender.journal.rule import Rule

logger = logging.getLogger(__name__)

#: For how long at most nothing is written for one mark.
HOLD_SECONDS = 5.0
#: A mark that is older than this is read again, as after a start: nobody waits for it any more.
_FRESH_SECONDS = 30.0


class Holding:
    """Says whether writing is to be held.

    Parameters
    ----------
    clock : function
        Seconds since 1970.
    elapsed : function
        Seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float], elapsed: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._elapsed = clock, elapsed
        #: The mark of each partition that was seen last, and until when it holds.
        self._seen: dict[int, int] = {}
        self._until: dict[int, float] = {}

    def look(self, rules: Sequence[Rule]) -> None:
        """Take note of where the rules are now."""
        for rule in rules:
            if rule.hold == self._seen.get(rule.partition, -1):
                continue
            self._seen[rule.partition] = rule.hold
            fresh = rule.hold >= 0 and abs(self._clock() - rule.hold / 1000) < _FRESH_SECONDS
            self._until[rule.partition] = self._elapsed() + HOLD_SECONDS if fresh else 0.0
            if fresh:
                logger.info(
                    "%s[%d] is rewritten: nothing is written to it until that is complete, for %g s at most",
                    *(rule.journal, rule.partition, HOLD_SECONDS),
                )

    def left(self) -> float:
        """The seconds for which nothing may be written yet."""
        return max(0.0, max(self._until.values(), default=0.0) - self._elapsed())
