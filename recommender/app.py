"""The Faust app, as `faust -A recommender.app worker` finds it."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """``app``, made from the environment when it is first asked for."""
    from recommender.worker import app

    return getattr(app, name)
