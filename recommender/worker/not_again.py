"""Says what is left out of a list because the user was shown it before."""

from __future__ import annotations

import time

from recommender.experiments.log_writer import request_name
from recommender.items.shown import ShownStore
from recommender.messages.requests import Request
from recommender.messages.responses import Failure
from recommender.shard.query import Hidden

HOUR = 3600.0


class NotAgain:
    """Says what is left out of a user's list.

    Parameters
    ----------
    store : ShownStore
    times : int
        Where a request does not say so itself: after how many times; 0 for never.
    hours : float
        The same: what was shown in this many hours counts. A request may ask for no more.
    lacks : str
        In words, why nothing is known of what was shown; empty if it is.
    """

    def __init__(self, store: ShownStore, times: int, hours: float, lacks: str) -> None:
        self._store, self._times, self._hours, self._lacks = store, times, hours, lacks

    def hidden(self, request: Request, identity: bytes) -> Hidden | None:
        """The items that the user of a request was shown before, if they are to be left out.

        Raises
        ------
        Failure
            It is not known what was shown, or not for that many hours.
        """
        times = self._times if request.hide_seen is None else request.hide_seen
        hours = self._hours if request.hide_seen_for is None else request.hide_seen_for
        if request.user is None or not times:
            if request.hide_seen_for is not None and request.hide_seen is None:
                raise Failure("bad_request", "`hide_seen_for` goes with `hide_seen`, which is not given")
            return None
        if self._lacks:
            raise Failure("bad_request", f"`hide_seen` is asked for, but {self._lacks}")
        if hours > self._hours:
            raise Failure(
                "bad_request",
                f"`hide_seen_for` is {hours:g} h, but RECOMMENDER_HIDE_SEEN_FOR is {self._hours:g}: expected "
                "at most that",
            )
        since = time.time() - hours * HOUR
        items = self._store.shown(str(request.user), times, since, request_name(identity))
        often = "" if times == 1 else f" {times} times"
        return Hidden(items, f"shown{often} in the last {hours:g} h") if items else None
