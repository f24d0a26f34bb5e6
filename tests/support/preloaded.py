"""Workers that begin with all libraries loaded: forked from a process that has done nothing but load them.

The start of a worker takes some seconds of processor time, nearly all of it for the same libraries and
kernels each time, and the tests start some two hundred. One that is forked is a process as any other: it has
its own memory, settings, directory and log, and can be killed and paused. What tests the start itself asks
for a Python of its own (`Worker.start(fresh=True)`), and so does everything outside of pytest.

A connection is what a guardian is elsewhere (`recommender.kafka.local.guarded`): it runs one process at a
time, and ends it when it is closed. It takes one command a line and answers with one event a line, in JSON::

    {"directory": PATH, "environment": {...}, "arguments": [...]}   ->  ["started", PID]
                                                 when it has ended  ->  ["exited", CODE]
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from recommender.settings import PREFIX

#: Libraries and kernels are loaded within seconds, where the kernels are compiled.
LOAD_SECONDS = 150.0
_DEATH_SIGNAL = 1


class Job(NamedTuple):
    """A command of ours to run, and where."""

    directory: str
    environment: dict[str, str]
    arguments: list[str]

    def run(self) -> None:
        """Run it in this process, which is a new one, to its end."""
        from recommender.cli import main

        os.environ.update(self.environment)
        os.chdir(self.directory)
        for name, mode, streams in ((os.devnull, os.O_RDONLY, (0,)), ("broker.log", _APPEND, (1, 2))):
            file = os.open(name, mode, 0o644)
            for stream in streams:
                os.dup2(file, stream)
            os.close(file)
        sys.argv = ["recommender", *self.arguments]
        main.main()


_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class Preloaded:
    """The process that has everything loaded; serves until its owner is gone.

    Parameters
    ----------
    listener : socket
    """

    def __init__(self, listener: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        #: Of each connection the process that it runs; of the pipe that ends with a process, both.
        self._running: dict[socket.socket, int] = {}
        self._ends: dict[int, tuple[socket.socket, int]] = {}

    def serve(self) -> Job | None:
        """Fork what is asked for; in a new process the result is what it has to run."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is sys.stdin:
                    return None
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    self._selector.register(connection, selectors.EVENT_READ)
                elif isinstance(key.fileobj, socket.socket):
                    job = self._obey(key.fileobj)
                    if job is not None:
                        return job
                else:
                    self._ended(key.fd)

    def _obey(self, connection: socket.socket) -> Job | None:
        # A command comes in one piece: it is short, and the other end waits for the answer.
        line = connection.recv(1 << 20)
        if line:
            return self._fork(connection, Job(**json.loads(line)))
        if connection in self._running:
            os.kill(self._running.pop(connection), signal.SIGKILL)
        self._selector.unregister(connection)
        connection.close()
        return None

    def _fork(self, connection: socket.socket, job: Job) -> Job | None:
        alive, end = os.pipe()
        with warnings.catch_warnings():
            # Python 3.12 minds the idle threads of the linear algebra library, which knows of forks.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
            self._let_go()
            # It ends with the process, and with nothing before.
            os.close(alive)
            return job
        os.close(end)
        self._running[connection], self._ends[alive] = pid, (connection, pid)
        self._selector.register(alive, selectors.EVENT_READ)
        _send(connection, ["started", pid])
        return None

    def _let_go(self) -> None:
        """Close all that is the parent's."""
        for key in [*self._selector.get_map().values()]:
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
            elif isinstance(key.fileobj, int):
                os.close(key.fileobj)
        self._selector.close()

    def _ended(self, alive: int) -> None:
        connection, pid = self._ends.pop(alive)
        self._selector.unregister(alive)
        os.close(alive)
        _, status = os.waitpid(pid, 0)
        if self._running.get(connection) == pid:
            del self._running[connection]
            _send(connection, ["exited", os.waitstatus_to_exitcode(status)])


def _send(connection: socket.socket, event: list[Any]) -> None:
    # Who has gone meanwhile is noticed when the connection is read.
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(event).encode() + b"\n")


class Forked:
    """Runs one process at a time, by way of a preloaded one.

    Parameters
    ----------
    address : str
        See `address`.
    directory : path
        Where the process runs and its output goes, to ``broker.log`` as a guardian's.
    """

    def __init__(self, address: str, directory: Path) -> None:
        self._directory, self._unread = directory, b""
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(address)

    def run(self, environment: Mapping[str, str], arguments: list[str]) -> int:
        """Start the command with these arguments and additional variables; its process id."""
        job = Job(str(self._directory), dict(environment), arguments)
        self._connection.sendall(json.dumps(job._asdict()).encode())
        pid = self._event("started", LOAD_SECONDS)
        assert pid is not None
        return pid

    def exited(self, seconds: float) -> int | None:
        """The exit code of what was run, or None while it still runs after `seconds`."""
        return self._event("exited", seconds)

    def close(self) -> None:
        """Let go: what still runs is killed."""
        self._connection.close()

    def _event(self, kind: str, seconds: float) -> int | None:
        self._connection.settimeout(seconds or 0.001)
        while b"\n" not in self._unread:
            try:
                more = self._connection.recv(4096)
            except TimeoutError:
                return None
            assert more, "the process that workers are forked from has ended"
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        found, number = json.loads(line)
        assert found == kind, f"expected {kind}, got {found} {number}"
        return int(number)


@contextlib.contextmanager
def preloaded() -> Iterator[str]:
    """The address of a process with everything loaded, which lives as long as this."""
    with tempfile.TemporaryDirectory(prefix="preloaded-") as directory:
        path = f"{directory}/socket"
        with socket.socket(socket.AF_UNIX) as listener:
            # Who comes before all is loaded waits.
            listener.bind(path)
            listener.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded", str(listener.fileno())],
                stdin=subprocess.PIPE,
                env={name: value for name, value in os.environ.items() if not name.startswith(PREFIX)},
                cwd=Path(__file__).parents[2],
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        try:
            yield path
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


_running = contextlib.ExitStack()
_address: str | None = None
_is_wanted = False


def want(address: str | None = None) -> None:
    """Let workers be forked from now on, from the process at an address or from one that is started then."""
    global _address, _is_wanted
    _address, _is_wanted = address, True


def address() -> str | None:
    """The address of the process that workers are forked from; None where each starts for itself."""
    global _address
    if _address is None and _is_wanted and sys.platform.startswith("linux"):
        _address = _running.enter_context(preloaded())
        atexit.register(_running.close)
    return _address


def main() -> None:
    """Load, serve, and in each new process run what was asked for."""
    server = Preloaded(socket.socket(fileno=int(sys.argv[1])))
    _load()
    job = server.serve()
    if job is not None:
        job.run()


def _load() -> None:
    """Load what a worker of the default model does, and its kernels."""
    from recommender.cli import worker
    from recommender.worker import kernels

    assert worker.worker
    kernels.warm(("blend",))


if __name__ == "__main__":
    main()
