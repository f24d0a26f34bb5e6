"""Learns around records that make a model raise: a bug in a model must not become a crash loop.

A record that raises is dropped: it becomes a dead letter, and the state is as if it had never been there.
What raises depends on the record and on the state before it, so on the log alone. A later pass over the same
log drops the same records, and nothing about them has to be remembered.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from recommender.ingest.ingest import Ingest, Outcome, Record
from recommender.shard.shard import Shard
from recommender.shard.state import Arrays

logger = logging.getLogger(__name__)

#: After a record that cannot be learned, so many that follow are learned with care: 25 runs of the worker's.
WARY = 25 * 1024


class Poisoned(Exception):
    """A record made a model raise, and the shard is in the middle of it."""


class Caution:
    """Learns a partition's log run by run, and knows where a model raised when it was learned before.

    Learning with care takes a copy of the state for each run, so it is done only around what raised.

    Attributes
    ----------
    suspects : range
        Offsets among which are records that make the model raise.
    """

    def __init__(self) -> None:
        self.suspects = range(0)

    def learn(self, ingest: Ingest, shard: Shard, records: Sequence[Record]) -> tuple[Shard, Outcome]:
        """Learn a run of consecutive records.

        Parameters
        ----------
        ingest : Ingest
        shard : Shard
            Not to be used afterwards.
        records : sequence of Record
            At least one.

        Returns
        -------
        shard : Shard
        outcome : Outcome

        Raises
        ------
        Poisoned
            The shard has to go back to an earlier state and learn the log again from there, by this
            `Caution`: the run is then learned around what raised.
        MemoryError
            That is no record's fault.
        """
        first, stop = records[0].offset, records[-1].offset + 1
        if first < self.suspects.stop and stop > self.suspects.start:
            return learn_around(ingest, shard, records)
        try:
            return shard, ingest.apply(shard, records)
        except MemoryError:
            raise
        except Exception as error:
            # A bug seldom fails once. What failed earlier comes again too, if the state before it does.
            self.suspects = range(min([first, *self.suspects[:1]]), max(stop + WARY, self.suspects.stop))
            raise Poisoned(
                f"{ingest.topic}[{shard.partition}]: a record of offsets {first} to {stop - 1} cannot be "
                "learned"
            ) from error


def learn_around(ingest: Ingest, shard: Shard, records: Sequence[Record]) -> tuple[Shard, Outcome]:
    """Learn a run of records of which some make the model raise.

    Whatever raises leaves the shard in the middle of a record. So it is restored from a copy, and the run is
    halved until each record that raises stands alone: one bad record in n costs 2 log2(n) copies.

    Parameters
    ----------
    ingest : Ingest
    shard : Shard
        Not to be used afterwards.
    records : sequence of Record
        Consecutive ones.

    Returns
    -------
    shard : Shard
        Past the records, without those that raised.
    outcome : Outcome
        With a dead letter for each of those.
    """
    before = copied(shard)
    try:
        return shard, ingest.apply(shard, records)
    except MemoryError:
        raise  # that is not the record's fault
    except Exception as error:
        fresh = Shard(shard.partition, shard.options)
        fresh.restore(before)
        if len(records) == 1:
            said = last_line(error)
            place = (ingest.topic, shard.partition, records[0].offset)
            logger.error("%s[%d] offset %d cannot be learned and is a dead letter: %s", *place, said)
            return fresh, ingest.drop(fresh, records[0], said)
    middle = len(records) // 2
    shard, first = learn_around(ingest, fresh, records[:middle])
    shard, second = learn_around(ingest, shard, records[middle:])
    first.learned += second.learned
    first.skipped += second.skipped
    first.dead_letters += second.dead_letters
    first.forwards += second.forwards
    first.refusals += second.refusals
    return shard, first


def copied(shard: Shard) -> Arrays:
    """The state as arrays that no later learning changes."""
    return {name: np.array(array) for name, array in shard.state().items()}


def last_line(error: Exception) -> str:
    """The name of an exception's class, and the last line of what it says."""
    lines = str(error).strip().splitlines()
    return ": ".join([type(error).__name__, *lines[-1:]])
