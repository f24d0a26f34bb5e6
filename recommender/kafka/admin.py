"""Opens an administration client to Kafka, or says in one sentence why there is none."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from recommender.errors import RecommenderError
from recommender.kafka.network import Network
from recommender.settings import Settings

#: When somebody who waits for a broker is first told, and how often then.
FIRST_SECONDS = 1.0
TELL_SECONDS = 5.0
#: How long a broker that accepts connections may take to answer.
ANSWER_SECONDS = 5.0
REQUEST_SECONDS = 30.0


class BrokerUnreachableError(RecommenderError):
    """No broker answered in the time given."""


@contextmanager
def open_admin(
    bootstrap_servers: str,
    wait_seconds: float = 0.0,
    security: Mapping[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[KafkaAdminClient]:
    """An administration client to a broker, waiting for one that is not there yet.

    Parameters
    ----------
    bootstrap_servers : str
        Addresses HOST:PORT, separated by commas.
    wait_seconds : float
        How long to wait for a broker to answer. One attempt is always made.
    security : mapping, optional
        kafka-python's own options: ``security_protocol``, ``sasl_mechanism``, ``ssl_cafile``, ...
    tell : callable, optional
        Called with one line every few seconds of waiting.

    Raises
    ------
    BrokerUnreachableError
        Nothing answered in time; says at which address and what the last attempt met.
    """
    addresses = [_address(each) for each in bootstrap_servers.split(",")]
    client = _wait(bootstrap_servers, addresses, wait_seconds, security or {}, tell)
    try:
        yield client
    finally:
        client.close()


def _wait(
    bootstrap_servers: str,
    addresses: list[tuple[str, int]],
    wait_seconds: float,
    security: Mapping[str, Any],
    tell: Callable[[str], None] | None,
) -> KafkaAdminClient:
    begun = time.monotonic()
    told = begun + FIRST_SECONDS - TELL_SECONDS
    while True:
        left = begun + wait_seconds - time.monotonic()
        try:
            _knock(addresses, ANSWER_SECONDS)
            return _client(bootstrap_servers, min(max(left, 1.0), ANSWER_SECONDS), security)
        except OSError as error:
            cause = str(error)
        now = time.monotonic()
        if now >= begun + wait_seconds:
            raise BrokerUnreachableError(
                f"No Kafka broker answers at {bootstrap_servers} after {now - begun:.0f} s: {cause}"
            )
        if tell is not None and now - told >= TELL_SECONDS:
            told = now
            tell(
                f"Waiting for a Kafka broker at {bootstrap_servers}, {now - begun:.0f} of "
                f"{wait_seconds:.0f} s: {cause}"
            )
        time.sleep(min(0.2, begun + wait_seconds - now))


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.strip().rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise BrokerUnreachableError(f"Broker address {text.strip()!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def _knock(addresses: list[tuple[str, int]], seconds: float) -> None:
    """Return if any address accepts a connection, else raise what the last one met."""
    refused: OSError | None = None
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), seconds):
                return
        except OSError as error:
            refused = error
    assert refused is not None
    raise refused


def _client(bootstrap_servers: str, seconds: float, security: Mapping[str, Any]) -> KafkaAdminClient:
    """A client that has read the cluster's metadata, or an error and nothing left open."""
    opened: list[Network] = []

    def network(**options: Any) -> Network:
        opened.append(Network(**options))
        return opened[-1]

    with _last_warning() as warnings:
        try:
            return KafkaAdminClient(
                bootstrap_servers=[each.strip() for each in bootstrap_servers.split(",")],
                client_id="recommender",
                bootstrap_timeout_ms=int(seconds * 1000),
                request_timeout_ms=int(REQUEST_SECONDS * 1000),
                kafka_client=network,
                **security,
            )
        except KafkaError as error:
            # The constructor that failed leaves its thread and sockets to nobody.
            for client in opened:
                client.close()
            raise OSError(warnings[-1] if warnings else str(error)) from error


@contextmanager
def _last_warning() -> Iterator[list[str]]:
    """Collect what kafka-python only logs while it tries to connect: its exception is just a timeout."""
    collected: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        # Of the others, some only say that it waits, and the last one repeats the timeout.
        if (
            record.levelno >= logging.WARNING
            and "not ready" not in message
            and "Bootstrap failed" not in message
        ):
            collected.append(message)
        return False

    loggers = [logging.getLogger(name) for name in ("kafka.net.manager", "kafka.net.connection")]
    for logger in loggers:
        logger.addFilter(collect)
    try:
        yield collected
    finally:
        for logger in loggers:
            logger.removeFilter(collect)


def security_options(settings: Settings) -> dict[str, Any]:
    """kafka-python's options for logging in and for encryption, as the settings say."""
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password
    if settings.security_protocol.endswith("SSL"):
        for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            options[name] = getattr(settings, name) or None
    return options
