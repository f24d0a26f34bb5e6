"""The brokers that the tests can run on: the same settings from packages and in a container."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.properties import PROPERTIES
from recommender.kafka.local.release import KAFKA_VERSION

#: Sessions may be short, so that a test of a lost worker does not take long.
TEST_PROPERTIES = {
    "group.min.session.timeout.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    # Compaction looks for something to do twice a second instead of every 15 seconds.
    "log.cleaner.backoff.ms": "500",
}
#: The broker that tests share is never killed. Kafka must not give it up because the machine stood still for
#: some seconds: its partitions would have no leader then, and their group no coordinator.
SHARED_PROPERTIES = TEST_PROPERTIES | {"broker.session.timeout.ms": "60000"}
LISTENERS = {
    "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "controller.quorum.voters": "1@localhost:9093",
}
SCRIPT = "/start-kafka.sh"
START_SECONDS = 120.0


@contextmanager
def chosen_broker(kind: str) -> Iterator[str]:
    """The one of `KAFKA_BOOTSTRAP_SERVERS`, else a container if `kind` is ``container``, else our own."""
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        yield given
    else:
        with container_broker() if kind == "container" else local_broker() as address:
            yield address


@contextmanager
def local_broker() -> Iterator[str]:
    """Apache Kafka from packages."""
    with LocalBroker(properties=SHARED_PROPERTIES) as broker:
        yield broker.address


@contextmanager
def container_broker() -> Iterator[str]:
    """Apache Kafka's own image, removed at the end, by testcontainers' reaper also after ``kill -9``."""
    from testcontainers.core.container import DockerContainer

    settings = PROPERTIES | SHARED_PROPERTIES | LISTENERS
    container = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_exposed_ports(9092)
    # Clients come back to the address that the broker advertises, and Docker chooses it only when the
    # container runs. So the broker waits for the script that tells it.
    container.with_command(["sh", "-c", f"until [ -f {SCRIPT} ]; do sleep 0.1; done; exec sh {SCRIPT}"])
    for name, value in settings.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    with container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(9092)}"
        script = f"export KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://{address}\nexec /etc/kafka/docker/run\n"
        container.get_wrapped_container().put_archive("/", _archive(SCRIPT, script.encode()))
        with open_admin(address, START_SECONDS):
            yield address


def _archive(path: str, content: bytes) -> bytes:
    """A tar archive with one file, which everybody may read."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
