"""Cuts off the beginning of partitions, and lets brokers delete it from their disks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import AlterConfigOp, ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from recommender.kafka.admin import open_admin, security_options
from recommender.kafka.topics import TopicsError
from recommender.settings import Settings

_AGE = "segment.ms"
#: With this age each record that is written begins a segment.
AT_ONCE = "1"
#: In this time a broker has heard of it.
_KNOWN_SECONDS = 0.3


def delete_before(config: Settings, topic: str, offsets: Mapping[int, int]) -> None:
    """Delete all records of partitions below offsets.

    Nobody can read them from then on. Brokers delete segments from their disks some minutes later.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        No broker answers, or it refuses.
    """
    wanted = {TopicPartition(topic, partition): offset for partition, offset in offsets.items()}
    with open_admin(config.broker, config.broker_wait, security_options(config)) as admin:
        try:
            admin.delete_records(wanted)
        except KafkaError as error:
            raise TopicsError(
                f"The broker did not delete records of topic {topic!r}: {error}. It needs the right to DELETE"
            ) from error


@asynccontextmanager
async def fresh_segment(config: Settings, topic: str) -> AsyncIterator[None]:
    """Let the records of a topic that are written here begin segments, so that what is before can be deleted.

    A broker deletes only whole segments.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        No broker answers, or it refuses.
    """
    before = await asyncio.to_thread(_set_age, config, topic, AT_ONCE)
    try:
        await asyncio.sleep(_KNOWN_SECONDS)
        yield
    finally:
        await asyncio.to_thread(_set_age, config, topic, None if before == AT_ONCE else before)


def _set_age(config: Settings, topic: str, milliseconds: str | None) -> str | None:
    """Set a topic's own age of segments, or none; the one before."""
    with open_admin(config.broker, config.broker_wait, security_options(config)) as admin:
        try:
            before = _own_age(admin, topic)
            change = (AlterConfigOp.DELETE, None) if milliseconds is None else milliseconds
            answers = admin.alter_configs([_resource(topic, change)], raise_on_unknown=False)
            said = answers.get("topic", {}).get(topic)
            if said != "OK":
                raise KafkaError(said)
        except KafkaError as error:
            raise TopicsError(
                f"The broker did not change {_AGE} of topic {topic!r}: {error}. It needs the rights to "
                "DESCRIBE_CONFIGS and ALTER_CONFIGS"
            ) from error
    return before


def _own_age(admin: KafkaAdminClient, topic: str) -> str | None:
    described = admin.describe_configs([_resource(topic, None)], config_filter="modified")
    found = described.get("topic", {}).get(topic, {}).get(_AGE)
    return None if found is None else str(found["value"])


def _resource(topic: str, value: Any) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, topic, {_AGE: value})
