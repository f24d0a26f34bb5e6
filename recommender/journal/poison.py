"""Learns around ratings that make a model raise: a bug in a model must not become a crash loop.

A rating that raises is left out: the state is as if it had never been there. What raises depends on the
rating and on the state before it, so on the journal alone. Everybody who follows the journal leaves out the
same ratings, and nothing about them has to be remembered.
"""

from __future__ import annotations

import logging

import numpy as np

from recommender.history.arrays import Arrays
from recommender.history.id_table import ITEM, USER
from recommender.history.rows import Rows
from recommender.shard.shard import Shard

logger = logging.getLogger(__name__)


def learn_around(shard: Shard, rows: Rows, place: str) -> Shard:
    """Learn ratings of which some make a model raise.

    Whatever raises leaves the shard in the middle of a rating. So it is restored from a copy, and the rows
    are halved until each that raises stands alone: one bad rating in n costs 2 log2(n) copies.

    Parameters
    ----------
    shard : Shard
        Not to be used afterwards.
    rows : Rows
    place : str
        Where the rows come from, for the log.

    Returns
    -------
    Shard
        Past the rows, without those that raised.
    """
    count = len(rows.ratings)
    if not count:
        return shard
    before = copied(shard)
    try:
        shard.learn_rows(rows)
        return shard
    except MemoryError:
        raise  # that is not the rating's fault
    except Exception as error:
        fresh = Shard(shard.options)
        fresh.restore(before)
        if count == 1:
            user, item = rows.ids(USER)[0], rows.ids(ITEM)[0]
            logger.error(
                "%s: user %r's rating of item %r cannot be learned and is left out: %s",
                place,
                user,
                item,
                last_line(error),
            )
            return fresh
    middle = count // 2
    return learn_around(learn_around(fresh, rows.part(0, middle), place), rows.part(middle, count), place)


def copied(shard: Shard) -> Arrays:
    """The state as arrays that no later learning changes."""
    return {name: np.array(array) for name, array in shard.state().items()}


def last_line(error: Exception) -> str:
    """An exception in one line: its name, and the last line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
