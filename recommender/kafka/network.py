"""kafka-python's network, closed without leaving a socket.

kafka-python loses the sockets that could not connect, and those that were connecting when their owner was
closed; and it cannot be closed while its thread begins, as Ctrl-C may ask. All of this is fixed here, through
what it lets one plug in.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.selector import NetworkSelector

#: How long a thread that was started may take to begin, in seconds.
BEGIN_SECONDS = 5.0


class Selector(NetworkSelector):
    """An event loop that closes, at its end, every socket that was opened for it."""

    def __init__(self, **options: Any) -> None:
        # It warns of its own slowness, which on a busy machine says nothing.
        super().__init__(**{**options, "slow_task_threshold_secs": 0})
        self.sockets: WeakSet[socket.socket] = WeakSet()
        self.has_started = self.has_ended = False

    def start(self) -> None:
        """Start the thread of the loop; kafka-python's interface."""
        self.has_started = True
        super().start()

    def run_forever(self) -> None:
        """Run the loop; kafka-python's interface."""
        try:
            super().run_forever()
        finally:
            self.has_ended = True

    def stop(self, timeout_ms: float | None = None) -> None:
        """End the loop and wait for its thread; kafka-python's interface."""
        with contextlib.suppress(RuntimeError):  # a thread that has not begun cannot be waited for
            super().stop(timeout_ms)

    def close(self) -> None:
        """End the loop and its thread, also if they have only just been started."""
        if self.has_started and not self.has_ended:
            # What begins forgets that it is to end.
            begun = threading.Event()
            self.call_soon_threadsafe(begun.set)
            begun.wait(BEGIN_SECONDS)
        super().close()
        for each in list(self.sockets):
            each.close()


class DirectSocket(KafkaNetSocket):
    """Connects without a proxy, and closes the socket if that fails: one every half second in an outage."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: socket.socket, *arguments: Any, **options: Any) -> Any:
        """Connect; kafka-python's interface."""
        net.sockets.add(sock)
        try:
            return await super().sock_connect(net, sock, *arguments, **options)
        except BaseException:
            sock.close()
            raise


class Network(KafkaNetClient):
    """The connections of a consumer, a producer or an administration client: their ``kafka_client``."""

    def __init__(self, **options: Any) -> None:
        options["proxy_url"] = options.get("proxy_url") or "direct://"
        super().__init__(net=Selector(**options), **options)
        # The option of this name does not get this far, and asking must not make topics.
        self.cluster.config["allow_auto_create_topics"] = False

    def any_connected(self) -> bool:
        """Return True if at least one broker is connected."""
        return any(self.connected(broker.node_id) for broker in self.cluster.brokers())

    def partitions(self, topic: str) -> set[int]:
        """The partitions of a topic, as of the last metadata; empty if it is unknown."""
        return self.cluster.partitions_for_topic(topic) or set()


def open_client(kind: Callable[..., Any], **options: Any) -> tuple[Any, Network]:
    """Make a client of kafka-python; one that could not be made leaves no thread and no socket.

    Parameters
    ----------
    kind : type
        Such as `kafka.KafkaConsumer`.
    **options
        Of that client.

    Returns
    -------
    client : object
    network : Network
    """
    opened: list[Network] = []

    def network(**settings: Any) -> Network:
        opened.append(Network(**settings))
        return opened[-1]

    try:
        return kind(**options, kafka_client=network), opened[0]
    except BaseException:
        for each in opened:
            each.close()
        raise
