"""The meaning of the producer's errors: try again, the topic is closed to us, or never with this record."""

from __future__ import annotations

from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    CorruptRecordException,
    InvalidProducerEpoch,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    LeaderNotAvailableError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    OutOfOrderSequenceNumber,
    PolicyViolationError,
    ProducerClosed,
    ProducerFenced,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownProducerId,
    UnknownTopicOrPartitionError,
    UnsupportedForMessageFormatError,
    kafka_errors,
)
from faust.exceptions import NotReady


class InvalidRecordError(BrokerResponseError):
    """A record that its topic does not take, such as one without a key for a compacted topic."""

    errno = 87
    message = "INVALID_RECORD"
    description = "The topic does not take such a record, as a compacted topic takes none without a key."


# aiokafka knows no code above 79.
InvalidRecord: type[BrokerResponseError] = kafka_errors.setdefault(87, InvalidRecordError)


class PartitionMissingError(KafkaError):
    """A topic does not have the partition that was asked for."""


class ProducerEndedError(KafkaError):
    """The producer has failed for good: nothing can be sent until the worker is started again."""


#: What a broker says of a batch that it has not written, because of a record in it.
REFUSED = (
    CorruptRecordException,
    InvalidRecord,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    UnsupportedForMessageFormatError,
)
#: What a broker says of a record that has no key where it needs one; brokers before 2.4 the second.
KEYLESS = (InvalidRecord, CorruptRecordException)
#: There is no such topic, or we may not write to it; the last two come of a topic that has just gone.
CLOSED = (
    ClusterAuthorizationFailedError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    LeaderNotAvailableError,
    NotLeaderForPartitionError,
)
#: The producer and the broker number batches differently; the next are numbered from the start.
MISCOUNTED = (InvalidProducerEpoch, OutOfOrderSequenceNumber, ProducerFenced, UnknownProducerId)


def is_closed(error: Exception) -> bool:
    """Return True if a topic is gone or forbidden: no fault of the record."""
    return isinstance(error, CLOSED)


def passes(error: Exception) -> bool:
    """Return True if the same record may be accepted when it is sent again."""
    retriable = bool(getattr(error, "retriable", False))
    return retriable or isinstance(error, (*CLOSED, *MISCOUNTED, KafkaTimeoutError))


def has_ended(error: Exception) -> bool:
    """Return True if nothing can be sent any more, because this worker ends."""
    return isinstance(error, (NotReady, ProducerClosed, ProducerEndedError))
