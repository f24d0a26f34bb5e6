"""The settings of the local broker, as the file that Kafka reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recommender.kafka.local.ports import HOST, free_port

PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "num.partitions": "1",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A broker that was killed may register again only when its old session is over, 9 s by default.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": "16777216",
}


def write_properties(directory: Path, port: int, more: Mapping[str, str]) -> Path:
    """Write ``server.properties`` for a broker on a port whose log is in `directory`; `more` settings win."""
    controller = free_port(besides=port)
    ours = PROPERTIES | {
        "log.dirs": str(directory / "log"),
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
    }
    path = directory / "server.properties"
    lines = [f"{name}={_escaped(value)}\n" for name, value in (ours | dict(more)).items()]
    path.write_text("".join(lines), encoding="ascii")
    return path


def cluster_id(directory: Path) -> str:
    """The id of the cluster whose log is in a directory."""
    lines = (directory / "log" / "meta.properties").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))


def _escaped(value: str) -> str:
    """A value for a Java properties file, which is Latin-1 and takes backslashes for escapes."""
    return value.replace("\\", "\\\\").encode("ascii", "backslashreplace").decode().replace("\\x", "\\u00")
