"""The classes that a local broker loads are kept in a file: Java uses it, and can do without."""

from __future__ import annotations

from pathlib import Path

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.java import startup_cache
from recommender.kafka.local.startup_cache import main


def test_java_uses_what_was_made() -> None:
    main()
    # With "on" Java ends where it cannot use the file; by default it goes on without.
    options = ["-XX:AOTMode=on", f"-XX:AOTCache={startup_cache()}"]
    with LocalBroker(java_options=options) as broker, open_admin(broker.address) as admin:
        assert admin.describe_cluster()["cluster_id"]


def test_a_broker_starts_where_the_file_is_of_no_use(tmp_path: Path) -> None:
    damaged = tmp_path / "kafka.aot"
    damaged.write_bytes(startup_cache().read_bytes()[:100_000] if startup_cache().exists() else b"none")
    with LocalBroker(java_options=[f"-XX:AOTCache={damaged}"]) as broker, open_admin(broker.address) as admin:
        assert admin.describe_cluster()["cluster_id"]
