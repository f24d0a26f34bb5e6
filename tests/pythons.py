"""Run ``make test`` on each supported Python that is here: ``python tests/pythons.py [VARIABLE=value ...]``.

They are looked for on the path, among pyenv's and among uv's. Each gets an environment of its own, as
``.venv-3.12``, which a second call finds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13")


def candidates(version: str) -> Iterator[str]:
    """Programs that may be a Python of a version."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for found in sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True):
        yield str(found)
    for found in sorted(
        Path.home().glob(f".local/share/uv/python/cpython-{version}.*/bin/python3"), reverse=True
    ):
        yield str(found)


def found(version: str) -> str | None:
    """The first of them that is one: pyenv's on the path may only say that none is chosen."""
    said = "import sys; print('%d.%d' % sys.version_info[:2])"
    for program in candidates(version):
        answer = subprocess.run([program, "-c", said], capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return program
    return None


def main(variables: list[str]) -> int:
    """Test all and say how it went; 1 if one failed, or none is installed."""
    outcomes = {}
    for version in VERSIONS:
        python = found(version)
        if python is None:
            outcomes[version] = "not installed"
            continue
        print(f"Python {version}: {python}", flush=True)
        command = [*os.environ.get("MAKE", "make").split(), "test"]
        command += [f"PYTHON={python}", f"VENV=.venv-{version}", *variables]
        outcomes[version] = "failed" if subprocess.run(command, check=False).returncode else "passed"
    for version, outcome in outcomes.items():
        print(f"Python {version}: {outcome}")
    return int("failed" in outcomes.values() or "passed" not in outcomes.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
