"""The partition of a user."""

from __future__ import annotations

from kafka.partitioner.default import murmur2


def partition_of(user: str, partitions: int) -> int:
    """The partition that Kafka's own producers choose for records with this user's id as key.

    That is murmur2 of the id in UTF-8, its sign bit cleared, modulo the number of partitions.

    Examples
    --------
    >>> partition_of("42", 6)
    4
    """
    return partition_of_bytes(user.encode(), partitions)


def partition_of_bytes(user: bytes, partitions: int) -> int:
    """The same for an id in UTF-8."""
    if partitions == 1:
        return 0
    return int((murmur2(user) & 0x7FFFFFFF) % partitions)
