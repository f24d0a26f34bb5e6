"""Whether anybody asks for recommendations: where nobody does, all is done in the order that costs least.

What keeps a request waiting shortly, such as looking for it every few milliseconds while a backlog is
learned, takes time from learning.
"""

from __future__ import annotations

import time

#: What lately is, in seconds.
LATELY = 10.0


class Demand:
    """Remembers when a request came last; any thread may tell and ask."""

    def __init__(self) -> None:
        self._asked = -LATELY

    def asked(self) -> None:
        """Note that a request has come."""
        self._asked = time.monotonic()

    @property
    def lately(self) -> bool:
        """Whether one came in the last ten seconds."""
        return time.monotonic() - self._asked < LATELY
