"""Ports of this machine for the local broker."""

from __future__ import annotations

import socket
from random import SystemRandom

from recommender.errors import RecommenderError

HOST = "127.0.0.1"
#: Ports are drawn from below those that systems give to outgoing connections: a client that keeps trying
#: a port of that range while the broker is down can end up connected to itself, and keep the port.
PORTS = range(20000, 32000)

_given: set[int] = set()


class BrokerError(RecommenderError):
    """The local broker could not be started, or ended by itself."""


class PortTakenError(BrokerError):
    """Another program listens on the port."""


def claim(port: int) -> None:
    """Raise `PortTakenError` if a process listens on `port`: cheaper than to start a broker to find out."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise port_taken(port, error) from error


def free_port(besides: int = 0) -> int:
    """A port on which no process listens, at this moment; this process gets another one each time."""
    random = SystemRandom()
    while True:
        port = random.choice(PORTS)
        if port == besides or port in _given:
            continue
        try:
            claim(port)
        except PortTakenError:
            continue
        # Who asked last time may not listen on it yet.
        _given.add(port)
        return port


def listens(port: int) -> bool:
    """Return True if a program accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def port_taken(port: int, error: OSError | None = None) -> PortTakenError:
    """The error for a port that cannot be listened on."""
    if isinstance(error, PermissionError):
        return PortTakenError(
            f"Port {port} on {HOST} needs rights that this user has not: choose one above 1023"
        )
    return PortTakenError(f"Port {port} on {HOST} is in use by another program: choose another one")
