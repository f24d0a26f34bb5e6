"""The names of the topics that the worker reads and writes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from recommender.errors import RecommenderError


class TopicsError(RecommenderError):
    """A topic is missing, cannot be created, or has another number of partitions than its partners."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of the topics.

    Attributes
    ----------
    prefix : str
        Put in front of each name, so that several installations can share one Kafka.
    """

    prefix: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-zA-Z0-9._-]{0,200}", self.prefix):
            raise TopicsError(
                f"The topic prefix has value {self.prefix!r}: expected letters, digits, '.', '_' and '-', "
                "at most 200"
            )

    @property
    def ratings(self) -> str:
        """Ratings, keyed by user: the log that is learned."""
        return self.prefix + "ratings"

    @property
    def journal(self) -> str:
        """Blocks of ratings in one order, which all workers follow: see `recommender.journal`."""
        return self.prefix + "ratings-journal"

    @property
    def requests(self) -> str:
        """Requests for recommendations, keyed by user."""
        return self.prefix + "recommendation-requests"

    @property
    def responses(self) -> str:
        """Replies to requests that name no reply topic of their own."""
        return self.prefix + "recommendation-responses"

    @property
    def dead_letters(self) -> str:
        """Ratings that could not be understood, as they came."""
        return self.prefix + "ratings-dlt"

    @property
    def recommendations(self) -> str:
        """The log of recommendations, keyed by user: see `recommender.messages.recommendations_log`."""
        return self.prefix + "recommendations-log"

    @property
    def items(self) -> str:
        """Titles, categories and the like, keyed by item: see `recommender.messages.items`; optional."""
        return self.prefix + "items"

    @property
    def all(self) -> tuple[str, ...]:
        """Every topic, ratings first."""
        return (
            self.ratings,
            self.journal,
            self.requests,
            self.responses,
            self.dead_letters,
            self.recommendations,
            self.items,
        )
