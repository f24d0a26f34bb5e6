"""What Kafka has of a partition: where its log begins and ends, and how far the group has come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """What Kafka has of a partition.

    Attributes
    ----------
    begins, ends : int
        The first offset of its log, and the one after the last.
    committed : int or None
        What the group has committed, if it has.
    """

    begins: int
    ends: int
    committed: int | None
