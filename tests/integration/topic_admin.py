"""Topics as somebody else creates them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recommender.kafka.admin import open_admin


@contextmanager
def admin(kafka: str) -> Iterator[Any]:
    with open_admin(kafka, 10) as client:
        yield client


def create(kafka: str, counts: dict[str, int], **configs: str) -> None:
    with admin(kafka) as client:
        wanted = {
            name: {"num_partitions": count, "replication_factor": 1, "configs": configs}
            for name, count in counts.items()
        }
        client.create_topics(wanted)
        client.wait_for_topics(list(counts))
