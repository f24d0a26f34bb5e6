"""Requests pass a backlog of ratings: they are fetched while that waits to be taken."""

from __future__ import annotations

import time
from typing import Any

from recommender.worker.demand import Demand

#: How long a fetch waits for records, in milliseconds: whatever else is asked of that broker waits behind it.
FETCH_WAIT = 250
#: While records that were fetched wait to be taken, others are asked for so often, in seconds, and not waited
#: for: the next fetch of what waits must not be held up.
PASS_SECONDS = 0.01
#: The same where nobody has asked for anything lately: asking costs some of the speed of learning.
CALM_SECONDS = 0.04


class Passing:
    """Lets other partitions of a broker be fetched while what was fetched of one waits to be taken.

    aiokafka asks a broker again when all that it fetched from it was taken, or after a tenth of a second: as
    long took each request under load.

    Parameters
    ----------
    demand : Demand
        Whether anybody asks.
    """

    def __init__(self, demand: Demand) -> None:
        self._demand = demand

    def change(self, fetcher: Any) -> None:
        """Let a fetcher do so.

        Parameters
        ----------
        fetcher : aiokafka.consumer.fetcher.Fetcher
        """
        next_actions = fetcher._get_actions_per_node

        def actions(assignment: Any) -> Any:
            fetcher._prefetch_backoff = PASS_SECONDS if self._demand.lately else CALM_SECONDS
            fetcher._fetch_max_wait_ms = 0 if fetcher._records else FETCH_WAIT
            found = next_actions(assignment)
            if len(fetcher._in_flight) > len(fetcher._pending_tasks):
                # A fetch has ended, and the node counts as asked until the event loop's next turn. Nothing
                # that is waited for would tell then that it can be asked again.
                found = *found[:2], 0.0, *found[3:]
            asked = {node for node, _ in found[0]}
            for tp, untaken in fetcher._records.items():
                if fetcher._select_read_replica(tp) in asked:
                    untaken._created = time.monotonic()
            return found

        fetcher._get_actions_per_node = actions
