"""Errors of the journal that a person has to fix."""

from __future__ import annotations

from recommender.errors import RecommenderError


class JournalError(RecommenderError):
    """The journal cannot be followed or written."""


class BlockError(JournalError):
    """A record of the journal is not a block that this version can read: following stops there."""

    def __init__(self, journal: str, partition: int, offset: int, fault: str) -> None:
        super().__init__(f"{journal}[{partition}] offset {offset}: {fault}")
        self.offset = offset


class JournalGap(JournalError):
    """The journal has lost blocks that come next."""


class JournalShorter(JournalError):
    """The journal ends before the place up to which it was followed: it was truncated."""


class JournalReplaced(JournalError):
    """The journal is another topic, or has another number of partitions, than the one that was followed."""


class SourceShorter(JournalError):
    """A source topic ends before the place up to which it was applied: it was truncated."""
