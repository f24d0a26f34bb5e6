"""No socket outlives the client of kafka-python that opened it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaConsumer
from kafka.errors import KafkaError
from kafka.net import selector
from kafka.net.inet import create_connection

from recommender.kafka.admin import BrokerUnreachableError, open_admin
from recommender.kafka.clients import open_consumer
from recommender.kafka.network import DirectSocket, Network
from tests.support.kafka import wait_until


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """All sockets that are opened."""
    made: list[socket.socket] = []

    def remember(self: DirectSocket, *arguments: int) -> socket.socket:
        made.append(socket.socket(*arguments))
        return made[-1]

    monkeypatch.setattr(DirectSocket, "socket", remember)
    return made


async def slow() -> None:
    time.sleep(0.2)  # noqa: ASYNC251 - as where the machine has something else to do


def are_closed(opened: list[socket.socket]) -> bool:
    return bool(opened) and all(each.fileno() == -1 for each in opened)


def test_closed_while_it_waits_for_an_answer(silent: str, opened: list[socket.socket]) -> None:
    network = Network(bootstrap_servers=[silent])
    network._net.start()
    network._manager.bootstrap_async()
    wait_until(lambda: opened, 10)
    network.close()
    assert are_closed(opened)


def test_closed_while_it_connects(opened: list[socket.socket]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        # Its queue is full: whoever connects now has to wait.
        with socket.create_connection(server.getsockname()), socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(server.getsockname())
            network = Network(bootstrap_servers=[f"127.0.0.1:{server.getsockname()[1]}"])
            network._net.start()
            network._manager.bootstrap_async()
            wait_until(lambda: opened, 10)
            network.close()
    assert are_closed(opened)


def test_closed_before_a_connection_has_taken_its_socket_over(
    silent: str, opened: list[socket.socket]
) -> None:
    network = Network(bootstrap_servers=[silent])
    network._net.start()
    host, port = silent.split(":")
    network._net.run(create_connection, network._net, host, int(port), (), "direct://")
    network.close()
    assert are_closed(opened)


def test_an_administration_client_that_gets_no_answer(silent: str, opened: list[socket.socket]) -> None:
    with pytest.raises(BrokerUnreachableError), open_admin(silent):
        pass
    assert are_closed(opened)


def test_an_address_where_nobody_listens(opened: list[socket.socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(KafkaError):
        KafkaConsumer(kafka_client=Network, bootstrap_servers=f"127.0.0.1:{port}", bootstrap_timeout_ms=300)
    wait_until(lambda: are_closed(opened), 10)


class Interrupted(threading.Thread):
    """A thread that begins a little later than Ctrl-C comes, which was to wait for its begin."""

    def start(self) -> None:
        threading.Timer(0.1, super().start).start()
        raise KeyboardInterrupt


def test_interrupted_while_its_thread_begins(
    silent: str, monkeypatch: pytest.MonkeyPatch, opened: list[socket.socket]
) -> None:
    before = set(threading.enumerate())
    with monkeypatch.context() as patched:
        patched.setattr(selector.threading, "Thread", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_consumer(silent, 5.0, {})
    wait_until(lambda: set(threading.enumerate()) <= before, 10)
    assert not any(each.fileno() != -1 for each in opened)


def test_a_busy_machine_is_not_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    network = Network(bootstrap_servers=["127.0.0.1:1"])
    network._net.start()
    network._net.run(slow)
    network.close()
    assert not caplog.records
