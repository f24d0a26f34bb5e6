"""A process that is ending ends in time, whatever still hangs."""

from __future__ import annotations

import logging
import threading

from recommender.worker.process import exit_now

logger = logging.getLogger(__name__)


def end_within(seconds: float, why: str) -> threading.Timer:
    """End this process with exit code 1 if it is still there then.

    A worker may wait for a thread, a disk or a broker that never answers, and nobody else would end it before
    its partitions are missed. That is harmless: what is not saved is learned again from the log.

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
