"""Writes requests and ratings to Kafka, and says in our words why one could not be written."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import IllegalStateError, KafkaError, KafkaTimeoutError

from recommender.client.errors import ClientClosed, ClientError, ConnectionBroken, TopicMissing
from recommender.kafka.clients import close_producer


class Sender:
    """A producer whose errors are those of the client.

    Parameters
    ----------
    producer : KafkaProducer
    servers : str
        What an error says about where.
    """

    def __init__(self, producer: KafkaProducer, servers: str) -> None:
        self._producer = producer
        self._servers = servers

    def send(self, topic: str, user: str, value: bytes, headers: list[tuple[str, bytes]]) -> Any:
        """Hand over one record, keyed by its user; kafka-python's future of its metadata.

        Raises
        ------
        TopicMissing
            The topic is not known to the broker.
        ClientError
            The record cannot be sent.
        """
        try:
            return self._producer.send(topic, value, user.encode(), headers)
        except KafkaTimeoutError:
            raise missing(topic, self._servers) from None
        except KafkaError as error:
            raise self.explain(error) from error

    def explain(self, error: BaseException) -> ClientError:
        """The client's error for one of kafka-python's."""
        if isinstance(error, IllegalStateError):  # what a producer that is closed leaves unsent
            return ClientClosed("The client is closed")
        if getattr(error, "retriable", False):
            return ConnectionBroken(f"Kafka at {self._servers} did not take the record: {error}")
        return ClientError(f"Kafka at {self._servers} refused the record: {error}")

    def close(self, seconds: float) -> None:
        """Write what is left, for at most `seconds`."""
        close_producer(self._producer, seconds)


def missing(topic: str, servers: str) -> TopicMissing:
    """The error for a topic that does not exist, which Kafka also says of one that this user may not see."""
    return TopicMissing(
        f"Topic {topic!r} does not exist at {servers}, or is hidden from this user: `recommender topics` "
        "creates it"
    )
