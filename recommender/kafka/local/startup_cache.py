"""Java's ahead-of-time cache of the local broker's classes: with it a broker starts in half the time.

Java records which classes a broker loads and keeps them loaded and linked in one file (JEP 483). The file
fits one Java runtime, so it lies in the environment that the runtime is installed in. Where there is none, or
one that does not fit, Java starts as always. ``python -m recommender.kafka.local.startup_cache`` makes
it where it is missing, in some ten seconds: worth it where brokers are started many times.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from kafka import KafkaConsumer, KafkaProducer

from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.java import QUICK_START, class_path, java, startup_cache
from recommender.kafka.local.ports import BrokerError

_TOPIC, _GROUP = "recorded", "recorder"
_SECONDS = 120.0


def make(cache: Path) -> None:
    """Record a broker that is written and read, and keep its classes in a file.

    Raises
    ------
    BrokerError
        Java could not make it.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as directory:
        recorded, made = Path(directory) / "classes", Path(directory) / cache.name
        recording = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}"]
        with LocalBroker(java_options=recording, properties={"auto.create.topics.enable": "true"}) as broker:
            _use(broker.address)
        making = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={made}"]
        command = [java(), *making, QUICK_START, "-cp", class_path()]
        finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
        if finished.returncode or not made.exists():
            raise BrokerError(f"Java could not make {cache}: {finished.stdout}{finished.stderr}")
        made.replace(cache)


def _use(address: str) -> None:
    """Let a broker load what its first clients make it load."""
    with contextlib.closing(KafkaProducer(bootstrap_servers=address)) as producer:
        producer.send(_TOPIC, b"1").get(timeout=_SECONDS)
    reading = {"group_id": _GROUP, "auto_offset_reset": "earliest"}
    with contextlib.closing(KafkaConsumer(_TOPIC, bootstrap_servers=address, **reading)) as consumer:
        next(consumer)
        consumer.commit()


def main() -> None:
    """Make the file where it is missing; a broker starts without it too."""
    cache = startup_cache()
    if not cache.exists():
        try:
            make(cache)
        except (BrokerError, OSError, subprocess.TimeoutExpired) as error:
            print(f"The broker's classes are not kept: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
