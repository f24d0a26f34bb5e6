"""Start and end of the worker's process."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from typing import NoReturn

from recommender.settings import Settings
from recommender.shard.options import arms_of
from recommender.worker import kernels

logger = logging.getLogger(__name__)

#: This many objects are made between two collections: the records of some fetches.
COLLECT_AFTER = 100_000
#: For how many seconds a thread may keep the interpreter from another that waits for it. By default it is ten
#: times that, which the event loop would wait whenever the thread that fetches is at work.
SWITCH_INTERVAL = 0.0005


def prepare(config: Settings) -> None:
    """Have the kernels ready before the first rating, and keep the event loop from waiting for others.

    Fetched records come in tens of thousands of objects that live for a fraction of a second, and by default
    each 700 of them start a collection. None of them is garbage in a cycle.

    Parameters
    ----------
    config : Settings
        Names the models.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    # What is imported stays: collections while kernels are loaded, and the one after, need not look at it.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)
    kernels.warm(arms_of(config).names)
    gc.collect()
    gc.freeze()


def exit_now(code: int) -> NoReturn:
    """End the process at once, with what it has logged and printed written.

    A plain exit waits for all threads: five seconds for Faust's consumer, and for ever for one that waits for
    a disk or a broker that never answers. All that must not be lost is saved and committed before, or is
    learned again from the journal.

    Parameters
    ----------
    code : int
        The exit code.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def end_within(seconds: float, why: str) -> threading.Timer:
    """End this process with exit code 1 if it is still there then.

    A worker may wait for a thread, a disk or a broker that never answers, and nothing else would end it
    before its partitions are missed. That is harmless: what is not saved is learned again from the log.

    Parameters
    ----------
    seconds : float
    why : str
        What took too long, for the log.

    Returns
    -------
    threading.Timer
        Already running; ``cancel()`` calls it off.
    """
    timer = threading.Timer(seconds, _end, (seconds, why))
    timer.daemon = True
    timer.start()
    return timer


def _end(seconds: float, why: str) -> None:
    logger.error(
        "%s takes longer than %g s: ending at once; what is not saved will be learned again", why, seconds
    )
    exit_now(1)
