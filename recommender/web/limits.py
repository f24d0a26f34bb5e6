"""Limits of what one call may bring, and of how many callers there may be."""

from __future__ import annotations

#: Ratings in one call.
MAX_RATINGS = 1000
#: Connections at once; with more the oldest are closed. Kafka's connections need descriptors as well.
MAX_CONNECTIONS = 1000
#: A connection that asks nothing for this long is closed, in seconds: longer than proxies keep theirs idle.
IDLE_SECONDS = 75.0
#: How long the rest of a body that is not wanted is read, so that the answer arrives.
LINGERING_SECONDS = 1.0
#: How long calls under way may take when the worker stops.
SHUTDOWN_SECONDS = 2.0
#: The longest line of a request's head, in bytes: an address with some candidates.
MAX_LINE_BYTES = 64 * 1024
