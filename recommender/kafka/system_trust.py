"""Downloads trust the authorities that the system trusts, as browsers and pip do.

Python's own libraries bring lists of theirs, or look where another distribution keeps it. Behind a company's
proxy, whose authority only the system knows, nothing can be fetched with those.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import truststore

_lock = threading.Lock()
_users = 0


def context() -> ssl.SSLContext:
    """Trust what the system trusts, for one connection."""
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def everywhere() -> Iterator[None]:
    """Trust what the system trusts, for all connections that the process opens while the context lasts.

    For libraries that cannot be told otherwise; what talks to Kafka has authorities of its own settings.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            truststore.inject_into_ssl()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                truststore.extract_from_ssl()
