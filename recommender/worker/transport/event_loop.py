"""The queue of what is ready to run in the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sized


def ready() -> Sized:
    """The callbacks that are about to run.

    Event loops other than asyncio's own do not say: there it looks as if none were.
    """
    found: Sized = getattr(asyncio.get_running_loop(), "_ready", ())
    return found
