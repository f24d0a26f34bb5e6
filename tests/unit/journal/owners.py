"""Owners of source partitions, and the rules that they follow, as histories play them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from recommender.journal.block import Packer, Source
from recommender.journal.lanes import Flight, Lane
from recommender.journal.rule import Rule
from tests.unit.journal.blocks import Block, Row, columns, listed

Rated = tuple[str, str, float | None, float]


class AnyRule(Protocol):
    """What the histories need of a rule; `rated` is what has counted."""

    rated: list[Rated]

    @property
    def position(self) -> int:
        """What is followed next."""

    def applied(self, source: Source) -> int:
        """Up to which offset a source is applied."""

    def step(self, blocks: Sequence[Block]) -> None:
        """Follow blocks."""


class RealRule(Rule):
    """The rule, with what has counted."""

    def __init__(self, partition: int, partitions: int) -> None:
        super().__init__("journal", partition, partitions)
        self.rated: list[Rated] = []

    def step(self, blocks: Sequence[Block]) -> None:
        """Follow blocks."""
        if blocks:
            self.rated += listed(self.follow(blocks).rows)


class Setting(NamedTuple):
    """What kind of histories there are.

    Attributes
    ----------
    partitions : int
        Of the journal.
    follows : bool
        Owners follow the journal; else they know only what their group has committed.
    rule, lane : callable
        Makes a rule, and a lane.
    goes_back : bool
        Owners read again what was lost.
    """

    partitions: int = 1
    follows: bool = True
    rule: Callable[[int, int], AnyRule] = RealRule
    lane: Callable[[Source, int, int], Lane] = Lane
    goes_back: bool = True


@dataclass
class SourceLog:
    """A source partition: at each offset a rating, a record that is none, or no record."""

    source: Source
    rows: list[Row]
    size: int
    arrays: Any = field(init=False)

    def __post_init__(self) -> None:
        self.arrays = columns(self.rows)


@dataclass
class Owner:
    """Who writes a source partition, and perhaps does not know yet that somebody else does."""

    log: SourceLog
    lane: Lane
    packer: Packer
    rules: list[AnyRule]
    sent: list[deque[tuple[Flight, bytes]]]
    answers: deque[tuple[Flight, int, int | None]] = field(default_factory=deque)
    alive: bool = True
