"""Something that happens again and again, and the functions that are called then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

Told = ParamSpec("Told")


class Event(Generic[Told]):
    """Calls all that have subscribed, in the order in which they did.

    Its cause need not know them: so neither has to be made before the other.
    """

    def __init__(self) -> None:
        self._listeners: list[Callable[Told, object]] = []

    def subscribe(self, listener: Callable[Told, object]) -> None:
        """Call a function from now on."""
        self._listeners.append(listener)

    def __call__(self, *told: Told.args, **named: Told.kwargs) -> None:
        """Call all."""
        for each in self._listeners:
            each(*told, **named)
