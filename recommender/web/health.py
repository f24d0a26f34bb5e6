"""A worker's health: checks, each with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

OK, WARNING, FAILING = "ok", "warning", "failing"


class Check(NamedTuple):
    """One thing that is looked at.

    Attributes
    ----------
    name : str
    level : str
        `OK`, `WARNING` or `FAILING`; a worker with a failing check is not ready.
    says : str
        How it is, in a sentence.
    """

    name: str
    level: str
    says: str


class Health(Protocol):
    """Says how the worker is."""

    def alive(self) -> str:
        """A sentence that says that the event loop turns."""

    def checks(self) -> list[Check]:
        """Every check, the gravest first."""


def failing(checks: Sequence[Check]) -> str | None:
    """The sentence of the first check that fails; None if the worker is ready."""
    return next((each.says for each in checks if each.level == FAILING), None)


def page(checks: Sequence[Check]) -> str:
    """The checks as text: a first line that says whether the worker is ready, then a line for each."""
    why = failing(checks)
    lines = [f"not ready: {why}" if why else "ready"]
    lines += [f"{each.level:8}{each.name}: {each.says}" for each in checks]
    return "\n".join(lines) + "\n"
