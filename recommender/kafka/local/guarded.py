"""The owner's end of `recommender.kafka.local.guardian`: a process never outlives the one that started it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from recommender.kafka.local import guardian
from recommender.kafka.local.ports import BrokerError

#: The guardian answers within milliseconds; more means that the machine is overloaded.
ANSWER_SECONDS = 30.0


class Guarded:
    """Runs one process at a time, by way of a guardian.

    Parameters
    ----------
    directory : path, optional
        Where the process runs and its output goes. By default a temporary one, which the guardian makes and
        removes; without it, it is kept.

    Raises
    ------
    BrokerError
        Another process runs something in the directory.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary = directory is None
        self._unread = b""
        self._pid: int | None = None
        self._process = subprocess.Popen(
            # Isolated and without site packages: it starts in 20 ms and imports nothing of this package.
            [sys.executable, "-I", "-S", guardian.__file__, str(os.getpid())]
            + ([] if directory is None else [str(directory)]),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        made = self._event("directory", ANSWER_SECONDS)
        if made is None:
            busy = self._event("busy", 0.0)
            self.close()
            if busy is not None:
                raise BrokerError(f"The data directory {busy} is in use by another broker")
            raise BrokerError("The process that guards the local broker did not start")
        self.directory = Path(made)

    def run(self, command: list[str]) -> int | None:
        """Start `command`; its process id, or None where it could not be started (see the log)."""
        self._send("run " + json.dumps(command))
        pid = self._event("started", ANSWER_SECONDS)
        self._pid = None if pid is None else int(pid)
        return self._pid

    def exited(self, seconds: float) -> int | None:
        """The exit code of what was run, or None while it still runs after `seconds`."""
        code = self._event("exited", seconds)
        if code is None:
            return None
        self._pid = None
        return int(code)

    def end(self, command: str, seconds: float) -> None:
        """Send ``terminate`` or ``kill`` and wait for the end; a process that takes longer is killed."""
        self._send(command)
        if self.exited(seconds) is None:
            self._send("kill")
            self.exited(ANSWER_SECONDS)

    def close(self) -> None:
        """Let go: the guardian ends what still runs, cleans up and leaves."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        if self._temporary and hasattr(self, "directory"):
            # Still there only if the guardian itself was killed.
            shutil.rmtree(self.directory, ignore_errors=True)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        # A guardian that was killed shows as the end of what it was asked to run.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode() + b"\n")

    def _event(self, kind: str, seconds: float) -> str | None:
        """The argument of the next event of this kind, or None after `seconds` without one."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + seconds
        # Not select, which takes no descriptor above 1023.
        arrivals = select.poll()
        arrivals.register(self._process.stdout, select.POLLIN)
        while True:
            line, newline, rest = self._unread.partition(b"\n")
            if newline:
                event, _, argument = line.decode().partition(" ")
                if event != kind and event in ("exited", "busy"):
                    return None
                self._unread = rest
                if event == kind:
                    return argument
                continue
            if not arrivals.poll(max(deadline - time.monotonic(), 0.0) * 1000):
                return None
            chunk = os.read(self._process.stdout.fileno(), 4096)
            if not chunk:
                return self._bereaved(kind)
            self._unread += chunk

    def _bereaved(self, kind: str) -> str | None:
        """The guardian was killed: Linux ends its child, elsewhere the owner has to."""
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        return str(-signal.SIGKILL) if kind == "exited" else None
