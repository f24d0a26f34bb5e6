"""Peers as programs of their own: each prints one line of JSON; some need an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contest import Options, Values

PEERS = Path(__file__).parent / "peers"
#: What is installed for whom. Pinned, so that figures of different days compare.
PACKAGES = {
    "quix": ("quixstreams==3.28.1",),
    "surprise": ("scikit-surprise==1.1.5", "numpy"),
}


class PeerError(RuntimeError):
    """A peer could not be installed or did not do its part."""


def python_of(environment: str, options: Options) -> str:
    """The interpreter of a peer's environment, which is made when it is first asked for.

    Raises
    ------
    PeerError
        Its packages could not be installed.
    """
    directory = options.cache / f"{environment}-{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / ("Scripts" if os.name == "nt" else "bin") / "python"
    packages = PACKAGES[environment]
    stamp = directory / "installed"
    if stamp.exists() and stamp.read_text() == " ".join(packages):
        return str(python)
    options.tell(f"installing {' '.join(packages)} into {directory}")
    venv.create(directory, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise PeerError(f"{' '.join(packages)} could not be installed: {done.stderr.strip()[-500:]}")
    stamp.write_text(" ".join(packages))
    return str(python)


def ask(peer: str, *arguments: object, python: str | None = None, seconds: float = 600) -> Values:
    """Run a peer and return what it measured.

    Parameters
    ----------
    peer : str
        Name of a file in ``benchmarks/peers``.
    *arguments
        Its arguments.
    python : str, optional
        Its interpreter, by default ours.
    seconds : float
        How long it may take.

    Raises
    ------
    PeerError
        It failed; with the end of what it said.
    """
    with tempfile.TemporaryDirectory(prefix="peer-") as directory:
        try:
            done = subprocess.run(
                command_of(peer, arguments, python),
                capture_output=True,
                text=True,
                timeout=seconds,
                env=environment_in(directory),
                cwd=directory,
            )
        except subprocess.TimeoutExpired:
            raise PeerError(f"{peer} took longer than {seconds:.0f} s") from None
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise PeerError(f"{peer} ended with exit code {done.returncode}: {done.stderr.strip()[-800:]}")
    try:
        measured: dict[str, Any] = json.loads(lines[-1])
    except json.JSONDecodeError:
        raise PeerError(f"{peer} ended with {lines[-1]!r}: expected JSON") from None
    return {name: float(value) for name, value in measured.items()}


@contextmanager
def serving(peer: str, *arguments: object) -> Iterator[None]:
    """Run a peer that says ``ready`` and then works until its standard input ends.

    Raises
    ------
    PeerError
        It did not get ready.
    """
    with (
        tempfile.TemporaryDirectory(prefix="peer-") as directory,
        subprocess.Popen(
            command_of(peer, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_in(directory),
            cwd=directory,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            raise PeerError(f"{peer} ended with exit code {process.wait()}")
        try:
            yield
        finally:
            process.stdin.close()


def command_of(peer: str, arguments: Iterable[object], python: str | None = None) -> list[str]:
    """The programs that run a peer."""
    return [python or sys.executable, str((PEERS / f"{peer}.py").resolve()), *map(str, arguments)]


def environment_in(directory: str) -> dict[str, str]:
    """A peer's environment variables: it must not see our packages."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return environment | {"TMPDIR": directory}
