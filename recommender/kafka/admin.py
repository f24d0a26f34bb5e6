"""Opens an administration client to Kafka, or says in one sentence why there is none."""

from __future__ import annotations

import logging
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from recommender.errors import RecommenderError
from recommender.kafka.addresses import host_and_port, split
from recommender.kafka.network import open_client
from recommender.settings import Settings

Tell = Callable[[str], None]

#: When waiting for a broker is first reported, and how often then.
FIRST_SECONDS = 1.0
TELL_SECONDS = 5.0
#: How long a broker that accepts connections may take to answer, also where the caller does not wait long: a
#: busy one takes its time.
ANSWER_SECONDS = 5.0
REQUEST_SECONDS = 30.0

#: What kafka-python puts around the reason.
WRAPPING = re.compile(r"^Bootstrap connection to \S+ failed: | \(backoff [\d.]+ secs\)$")
#: What it says where a broker and a client do not understand each other.
VAGUE = re.compile("disconnected|timed out|Timeout|Invalid frame")
#: Its word for a broker that refuses a client, known or not; what follows is the broker's own.
REFUSED = re.compile(r"SaslAuthenticationFailedError: (?:SaslAuthenticationFailedError: )?(?P<why>.*)")
UNSUPPORTED = "UnsupportedSaslMechanismError"


class BrokerUnreachableError(RecommenderError):
    """No broker answered in the time given, or it does not let us in."""


@contextmanager
def open_admin(
    bootstrap_servers: str,
    wait_seconds: float = 0.0,
    security: Mapping[str, Any] | None = None,
    tell: Tell | None = None,
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
        Nothing answered in time; says at which address and what the last attempt met. Or the broker refuses
        the user's name or password: that is not waited for.
    """
    try:
        addresses = [host_and_port(each) for each in split(bootstrap_servers)]
    except ValueError as error:
        raise BrokerUnreachableError(str(error)) from None
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
    tell: Tell | None,
) -> KafkaAdminClient:
    begun = time.monotonic()
    told = begun + FIRST_SECONDS - TELL_SECONDS
    said: list[str] = []
    while True:
        try:
            _knock(addresses)
            return _client(bootstrap_servers, security, said)
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


def _knock(addresses: list[tuple[str, int]]) -> None:
    """Return if any address accepts a connection, else raise what the last one met."""
    refused: OSError | None = None
    for host, port in addresses:
        try:
            with socket.create_connection((host, port), ANSWER_SECONDS):
                return
        except OSError as error:
            refused = error
    assert refused is not None
    raise refused


def _client(bootstrap_servers: str, security: Mapping[str, Any], said: list[str]) -> KafkaAdminClient:
    """A client that has read the cluster's metadata, or an error and nothing left open.

    `said` takes what was said of each attempt: one may be more telling than those after it.
    """
    with _collecting(said):
        try:
            client, _ = open_client(
                KafkaAdminClient,
                bootstrap_servers=split(bootstrap_servers),
                client_id="recommender",
                bootstrap_timeout_ms=int(ANSWER_SECONDS * 1000),
                request_timeout_ms=int(REQUEST_SECONDS * 1000),
                **security,
            )
        except KafkaError as error:
            refusal = _refusal(said, security)
            if refusal is not None:
                raise BrokerUnreachableError(f"The Kafka broker at {bootstrap_servers} {refusal}") from None
            said.append(str(error))
            raise OSError(_cause(said, security)) from error
    assert isinstance(client, KafkaAdminClient)
    return client


def _refusal(said: Sequence[str], security: Mapping[str, Any]) -> str | None:
    """The reason why a broker that answers rejected us, if it named one: waiting would not help."""
    for each in said:
        if refused := REFUSED.search(each):
            user = security.get("sasl_plain_username")
            return f"rejected the credentials of user {user!r}: {refused['why']}"
        if UNSUPPORTED in each:
            return f"does not know the SASL mechanism {security.get('sasl_mechanism')!r}"
    return None


def _cause(said: Sequence[str], security: Mapping[str, Any]) -> str:
    """The reason why there is no connection, for a person, from the log lines of each attempt."""
    telling = [each for each in said if not VAGUE.search(each)]
    if telling:
        return telling[-1]
    if security.get("sasl_mechanism"):
        # kafka-python often misses what the broker says before it hangs up.
        return f"{said[0]}, as where the user's name, the password or the mechanism is wrong"
    protocol = security.get("security_protocol", "PLAINTEXT")
    return f"{said[0]}, as where the broker expects another security protocol than {protocol}"


@contextmanager
def _collecting(said: list[str]) -> Iterator[None]:
    """Collect what kafka-python only logs while it tries to connect: its exception is just a timeout."""

    def collect(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        # Of the others, some only say that it waits, and the last one repeats the timeout.
        if record.levelno >= logging.WARNING and message.startswith("Bootstrap connection"):
            said.append(WRAPPING.sub("", message))
        return False

    loggers = [logging.getLogger(f"kafka.net.{name}") for name in ("manager", "connection", "transport")]
    for logger in loggers:
        logger.addFilter(collect)
    try:
        yield
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
