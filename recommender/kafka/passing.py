"""Requests pass a backlog of ratings: they are fetched while that waits to be taken."""

from __future__ import annotations

import time
from typing import Any

#: How long a fetch waits for records, in milliseconds: whatever else is asked of that broker waits behind it.
FETCH_WAIT = 250
#: While records that were fetched wait to be taken, others are asked for so often, in seconds, and not waited
#: for: the next fetch of what waits must not be held up.
PASS_SECONDS = 0.02
#: The same where nobody has asked for anything lately: asking costs some of the speed of learning.
CALM_SECONDS = 0.04
#: What lately is, in seconds.
LATELY = 10.0


class Passing:
    """Lets other partitions of a broker be fetched while what was fetched of one waits to be taken.

    aiokafka asks a broker again when all that it fetched from it was taken, or after a tenth of a second: as
    long took each request under load.
    """

    def __init__(self) -> None:
        self._asked = -LATELY

    def asked(self) -> None:
        """Note that a request has come."""
        self._asked = time.monotonic()

    def change(self, fetcher: Any) -> None:
        """Let a fetcher do so.

        Parameters
        ----------
        fetcher : aiokafka.consumer.fetcher.Fetcher
        """
        next_actions = fetcher._get_actions_per_node

        def actions(assignment: Any) -> Any:
            lately = time.monotonic() - self._asked < LATELY
            fetcher._prefetch_backoff = PASS_SECONDS if lately else CALM_SECONDS
            fetcher._fetch_max_wait_ms = 0 if fetcher._records else FETCH_WAIT
            found = next_actions(assignment)
            asked = {node for node, _ in found[0]}
            for tp, untaken in fetcher._records.items():
                if fetcher._select_read_replica(tp) in asked:
                    untaken._created = time.monotonic()
            return found

        fetcher._get_actions_per_node = actions
