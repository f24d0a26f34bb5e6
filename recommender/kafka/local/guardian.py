"""Runs the broker's processes for their owner, and ends them when the owner is gone.

A process of its own between a Python program and Java, started as a script so that it needs nothing but
the standard library. Whatever happens to the owner - also ``kill -9`` - the pipe to it closes or its id
stops being the parent's; then the guardian ends what it runs and removes the directory if it is temporary.
It lives in a session of its own: Ctrl-C in the owner's terminal reaches neither it nor Java.

It reads one command a line from standard input and writes one event a line to standard output::

    (at the start)              ->  directory PATH, or busy PATH when somebody else runs something there
    run ["java", "-cp", ...]    ->  started PID
    terminate | kill            ->  exited CODE (also when it ends by itself)
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

#: A process that was asked to end is killed after this time.
PATIENCE_SECONDS = 15.0
#: How long to wait for a directory that another broker still uses.
CLAIM_SECONDS = 5.0
#: How often to look whether the parent is still the owner: a child forked from the owner keeps the pipe open.
LOOK_SECONDS = 0.5


def _dies_with_parent() -> Callable[[], None] | None:
    """A function that a child runs before it starts, so that Linux kills it when even the guardian is killed.

    The signal comes when the *thread* that started the child ends; the guardian has only one.
    """
    if not sys.platform.startswith("linux"):
        return None
    set_death_signal, linux_constant = ctypes.CDLL(None, use_errno=True).prctl, 1
    return lambda: set_death_signal(linux_constant, signal.SIGKILL, 0, 0, 0)


class Guardian:
    """Runs one process at a time, its output in ``broker.log`` of the directory."""

    def __init__(self, owner: int, directory: Path, temporary: bool) -> None:
        self.owner = owner
        self.directory = directory
        self.temporary = temporary
        self.process: subprocess.Popen[bytes] | None = None
        self.prepare = _dies_with_parent()
        self.unread = b""
        self.leaving = False
        # Two brokers on one log destroy it: Kafka itself looks only after it has written. What is run
        # inherits the lock, so it holds for as long as that lives, even without the guardian.
        self.lock = (directory / "lock").open("w")

    def serve(self) -> None:
        """Obey until the owner is gone or lets go, then leave nothing behind."""
        if not self._claim():
            self._print(f"busy {self.directory}")
            return
        wakeup, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._leave)
        try:
            self._print(f"directory {self.directory}")
            while not self.leaving and os.getppid() == self.owner:
                ready, _, _ = select.select([sys.stdin.fileno(), wakeup], [], [], LOOK_SECONDS)
                if wakeup in ready:
                    os.read(wakeup, 4096)
                self._notice_exit()
                if sys.stdin.fileno() in ready and not self._obey():
                    break
        finally:
            self._clean_up()

    def _claim(self) -> bool:
        """Take the lock; the guardian that ran here before may be about to end."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.1)
            else:
                return True

    def _leave(self, *_: object) -> None:
        self.leaving = True

    def _obey(self) -> bool:
        """Carry out what was sent; False when the owner has closed the pipe."""
        chunk = os.read(sys.stdin.fileno(), 1 << 20)
        *lines, self.unread = (self.unread + chunk).split(b"\n")
        for line in lines:
            command, _, argument = line.decode().partition(" ")
            if command == "run":
                self._run(json.loads(argument))
            elif self.process is not None:
                self.process.send_signal(signal.SIGTERM if command == "terminate" else signal.SIGKILL)
        return bool(chunk)

    def _run(self, command: list[str]) -> None:
        with (self.directory / "broker.log").open("ab") as log:
            try:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.directory,
                    preexec_fn=self.prepare,
                    pass_fds=[self.lock.fileno()],
                )
            except OSError as error:
                log.write(f"{command[0]}: {error}\n".encode())
                self._print("exited 127")
                return
        self._print(f"started {self.process.pid}")

    def _notice_exit(self) -> None:
        if self.process is not None and self.process.poll() is not None:
            code, self.process = self.process.returncode, None
            self._print(f"exited {code}")

    def _print(self, event: str) -> None:
        try:
            os.write(sys.stdout.fileno(), event.encode() + b"\n")
        except BrokenPipeError:
            self.leaving = True

    def _clean_up(self) -> None:
        if self.process is not None:
            # A log that is about to be removed needs no orderly end.
            self.process.send_signal(signal.SIGKILL if self.temporary else signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.temporary:
            _remove(self.directory)


def _remove(directory: Path) -> None:
    """Remove `directory`; again where something was still being written to it."""
    for _ in range(20):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(0.1)


def main() -> None:
    """Serve the process with the id in the first argument; the second, if any, is the directory to use."""
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    owner, *directories = sys.argv[1:]
    if directories:
        Guardian(int(owner), Path(directories[0]), temporary=False).serve()
    else:
        Guardian(int(owner), Path(tempfile.mkdtemp(prefix="recommender-kafka-")), temporary=True).serve()


if __name__ == "__main__":
    main()
