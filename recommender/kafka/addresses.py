"""Addresses of brokers: HOST:PORT, several of them separated by commas."""

from __future__ import annotations


def split(bootstrap_servers: str) -> list[str]:
    """The addresses, without blanks around them.

    >>> split("kafka-1:9092, kafka-2:9092")
    ['kafka-1:9092', 'kafka-2:9092']
    """
    return [each.strip() for each in bootstrap_servers.split(",")]


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an address.

    Raises
    ------
    ValueError
        It is none.

    Examples
    --------
    >>> host_and_port("[::1]:9092")
    ('::1', 9092)
    """
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"Broker address {address!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)
