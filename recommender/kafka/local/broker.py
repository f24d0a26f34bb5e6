"""A local Apache Kafka: one process that is broker and controller, from packages, without Docker or Java."""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka.errors import KafkaError
from rich.console import Console

from recommender.kafka.admin import BrokerUnreachableError, open_admin
from recommender.kafka.local.guarded import Guarded
from recommender.kafka.local.java import QUICK_START, class_path, java, startup_cache
from recommender.kafka.local.ports import (
    HOST,
    BrokerError,
    PortTakenError,
    claim,
    free_port,
    listens,
    port_taken,
)
from recommender.kafka.local.properties import cluster_id, write_properties

#: How long starting may take, formatting the storage and loading the log included.
START_SECONDS = 120.0
STOP_SECONDS = 30.0
ATTEMPTS = 5


class LocalBroker:
    """Apache Kafka on 127.0.0.1, for the demo, the tests and the benchmarks.

    It never outlives the process that started it: see `recommender.kafka.local.guardian`.

    Parameters
    ----------
    port : int, optional
        Where to listen; by default a free one is chosen.
    data : path, optional
        Directory of the log, kept when the broker stops and used again by the next one. By default a
        temporary directory, removed at the end.
    heap : str
        Java's ``-Xmx``.
    properties : mapping, optional
        More of Kafka's own settings for ``server.properties``; they win over ours.
    java_options : sequence of str, optional
        More of Java's options, instead of those that start it sooner.
    console : Console, optional
        Where the first use shows the progress of its download; standard error by default.

    Examples
    --------
    >>> with LocalBroker() as broker:                      # doctest: +SKIP
    ...     producer = KafkaProducer(bootstrap_servers=broker.address)
    """

    def __init__(
        self,
        port: int | None = None,
        data: str | os.PathLike[str] | None = None,
        heap: str = "512m",
        properties: dict[str, str] | None = None,
        java_options: Sequence[str] | None = None,
        console: Console | None = None,
    ) -> None:
        self.port = port or 0
        self.directory = None if data is None else Path(data).absolute()
        self.pid: int | None = None
        self._chooses_port = port is None
        self._temporary = data is None
        self._heap = heap
        self._properties = properties or {}
        self._more_java_options = java_options
        self._console = console
        self._guardian: Guarded | None = None

    @property
    def address(self) -> str:
        """The bootstrap servers for clients."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file with the broker's warnings and errors."""
        if self.directory is None:
            raise BrokerError("The local broker has no log yet: it was not started")
        return self.directory / "broker.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the broker and wait until it answers a metadata request.

        Raises
        ------
        BrokerError
            It did not start; with the end of its log. `PortTakenError` where the port asked for is busy.
        FetchError
            Apache Kafka is not in the cache and could not be fetched.
        """
        if self.pid is not None:
            return
        # A port that clients know already cannot be swapped for another.
        choose = self._chooses_port and self.port == 0
        try:
            for attempt in range(1, ATTEMPTS + 1):
                if choose:
                    self.port = free_port()
                else:
                    claim(self.port)
                try:
                    self._start()
                    break
                except PortTakenError:
                    # Another program was faster, on this port or the controller's.
                    if attempt == ATTEMPTS:
                        raise
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        """End the broker in an orderly way; remove its data if they are temporary."""
        if self.pid is not None and self._guardian is not None:
            self._guardian.end("terminate", STOP_SECONDS)
        self._release()

    def kill(self) -> None:
        """End the broker with SIGKILL, as a power cut does. Its data stay, for `restart`."""
        if self.pid is not None and self._guardian is not None:
            self._guardian.end("kill", STOP_SECONDS)
            self.pid = None

    def restart(self) -> None:
        """Start again on the same port with the same data, after an orderly end if it still runs."""
        if self.pid is not None and self._guardian is not None:
            self._guardian.end("terminate", STOP_SECONDS)
            self.pid = None
        self.start()

    def wait(self, seconds: float) -> bool:
        """Return True if the broker still runs after `seconds`; returns early when it ends by itself."""
        if self.pid is None or self._guardian is None:
            return False
        if self._guardian.exited(seconds):
            self.pid = None
        return self.pid is not None

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the broker's log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _start(self) -> None:
        program, classes = java(), class_path(self._console)
        if self._guardian is None:
            self._guardian = self._guard()
            self.directory = self._guardian.directory
        log_begin = self.log.stat().st_size if self.log.exists() else 0
        directory = self.log.parent
        command = [program, *self._java_options(), "-cp", classes]
        settings = write_properties(directory, self.port, self._properties)
        if not (directory / "log" / "meta.properties").exists():
            self._format(command, settings)
        self.pid = self._guardian.run([*command, "kafka.Kafka", str(settings)])
        self._wait_until_it_answers(cluster_id(directory), log_begin)

    def _guard(self) -> Guarded:
        if self._temporary or self.directory is None:
            return Guarded()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            (self.directory / "broker.log").open("a").close()
        except OSError as error:
            raise BrokerError(f"The data directory {self.directory} cannot be used: {error}") from error
        return Guarded(self.directory)

    def _java_options(self) -> list[str]:
        # What Java would leave in the system's temporary directory stays with the data.
        temporary = self.log.parent / "tmp"
        temporary.mkdir(exist_ok=True)
        more = self._more_java_options
        if more is None:
            cache = startup_cache()
            more = [f"-XX:AOTCache={cache}"] if cache.exists() else []
        return [
            f"-Xmx{self._heap}",
            QUICK_START,
            "-XX:-UsePerfData",
            f"-XX:ErrorFile={self.log.parent / 'java-error.log'}",
            f"-Djava.io.tmpdir={temporary}",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
            *more,
        ]

    def _format(self, command: list[str], settings: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One argument, not two: the id may begin with a minus sign.
        options = [f"--cluster-id={cluster}", "--config", str(settings)]
        assert self._guardian is not None
        self._guardian.run([*command, "kafka.tools.StorageTool", "format", *options])
        if self._guardian.exited(START_SECONDS) != 0:
            self._fail("could not format its storage")

    def _wait_until_it_answers(self, cluster: str, log_begin: int) -> None:
        assert self._guardian is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._guardian.exited(0.05) is not None:
                self.pid = None
                self._explain_exit(log_begin)
            if not listens(self.port):
                continue
            try:
                with open_admin(self.address) as admin:
                    answering = admin.describe_cluster()["cluster_id"]
            except (BrokerUnreachableError, KafkaError):
                continue
            if answering == cluster:
                return
            self._guardian.end("kill", STOP_SECONDS)
            self.pid = None
            raise port_taken(self.port)
        self._fail(f"did not answer on {self.address} within {START_SECONDS:.0f} s")

    def _explain_exit(self, log_begin: int) -> None:
        """Raise the error for a broker that ended while it started."""
        with self.log.open("rb") as log:
            log.seek(log_begin)
            said = log.read().decode(errors="replace")
        if "Address already in use" in said:
            raise port_taken(self.port)
        self._fail("ended while it started")

    def _fail(self, what: str) -> None:
        log = "its log" if self._temporary else f"its log {self.log}"
        raise BrokerError(f"Apache Kafka {what}. The end of {log}:\n{self.log_tail()}")

    def _release(self) -> None:
        self.pid = None
        if self._guardian is not None:
            self._guardian.close()
            self._guardian = None
        if self._temporary:
            self.directory = None
