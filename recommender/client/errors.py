"""Errors of a program that asks over Kafka."""

from __future__ import annotations

from recommender.errors import RecommenderError
from recommender.kafka import admin


class ClientError(RecommenderError):
    """A request or rating did not succeed."""


class BrokerUnreachable(ClientError, admin.BrokerUnreachableError):
    """No broker answered when the client was made."""


class TopicMissing(ClientError):
    """A topic that the client needs does not exist."""


class ConnectionBroken(ClientError, ConnectionError):
    """The connection to Kafka was lost and did not come back in time. Asking again later may succeed."""


class RecommendTimeout(ClientError, TimeoutError):
    """No answer came in time."""


class RatingUnconfirmed(ClientError, TimeoutError):
    """Kafka did not confirm a rating in time; it may or may not have been written."""


class RequestFailed(ClientError):
    """The worker answered with a failure.

    Attributes
    ----------
    code : str
        What kind of failure, as in `recommender.messages.responses.Failure`.
    message : str
        The worker's sentence.
    retriable : bool
        The same request may succeed later.
    """

    def __init__(self, code: str, message: str, retriable: bool) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.retriable = retriable

    def __reduce__(self) -> tuple[type[RequestFailed], tuple[str, str, bool]]:
        return type(self), (self.code, self.message, self.retriable)


class BadReply(ClientError):
    """Something answered with the request's id, but not with what the contract says."""


class ClientClosed(ClientError):
    """The client was closed, or belongs to the process that this one was forked from."""
