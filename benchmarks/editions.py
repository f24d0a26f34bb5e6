"""The worker as it is here, and as it was at a commit of the history: in turns on one machine, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contest import Options, Outcome
from benchmarks.environments import PeerError
from recommender.settings import Settings

#: The last commit at which a worker learned only the partitions of the ratings that it held.
BEFORE_JOURNAL = "fcdb1a1"
BEFORE = f"ours at {BEFORE_JOURNAL}"
#: What compiles the kernels of a model ahead, at that commit.
COMPILER = "recommender.kernels"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Edition:
    """A worker's code, and what runs it.

    Attributes
    ----------
    name : str
        What tables call it.
    python : str
        The interpreter.
    paths : tuple of str
        Where packages are found besides the interpreter's own.
    """

    name: str
    python: str
    paths: tuple[str, ...] = ()

    def called(self, what: str = "") -> str:
        """A contestant's name: the edition's, and what is measured of it."""
        return f"{self.name}, {what}" if what else self.name


#: A worker runs in a directory of its own: what is imported from here must be found from there.
HERE = Edition("ours", sys.executable, tuple(str(Path(each or ".").absolute()) for each in sys.path))


def editions(outcome: Outcome, options: Options) -> Sequence[Edition]:
    """Ours and, where the history has it and its packages can be installed, the one before the journal."""
    try:
        return HERE, Edition(BEFORE, _python_at(BEFORE_JOURNAL, options))
    except PeerError as error:
        outcome.failures[BEFORE] = str(error)
        return (HERE,)


def _python_at(commit: str, options: Options) -> str:
    """The interpreter of an environment with the package as of a commit, made when it is first asked for.

    Its dependencies are those that the commit was tested with, and its kernels are compiled ahead.
    """
    directory = options.cache / f"worker-{commit}-{sys.version_info.major}.{sys.version_info.minor}"
    python = directory / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = directory / "installed"
    if stamp.exists():
        return str(python)
    options.tell(f"installing the worker of {commit} into {directory}")
    with tempfile.TemporaryDirectory(prefix="worker-") as checkout:
        archive = Path(checkout) / "checkout.tar"
        # Not a worktree: the repository would list it after a run that was killed.
        _run("git", "-C", str(ROOT), "archive", "--output", str(archive), commit)
        _run("tar", "-xf", str(archive), "-C", checkout)
        archive.unlink()
        venv.create(directory, with_pip=True, clear=True)
        pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        _run(*pip, "--constraint", f"{checkout}/constraints.txt", checkout)
    _run(str(python), "-m", COMPILER, Settings().model)
    stamp.write_text(commit)
    return str(python)


def _run(*command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as elsewhere:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=900, env=environment, cwd=elsewhere
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerError(f"{' '.join(command[:4])} failed: {error}") from None
    if done.returncode:
        raise PeerError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-500:]}")
