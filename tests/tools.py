"""Installs the programs that tests need beside Python, where that is possible: run by ``make test``.

It never fails. A test that needs a program that is not there fails, and says how to get it.
"""

from __future__ import annotations

import os
import shutil
import subprocess

#: Debian's package of each program.
PACKAGES = {"promtool": "prometheus", "chromium": "chromium"}


def main() -> None:
    """Install what is missing."""
    missing = sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"Missing for some tests: {', '.join(missing)}. On Debian and Ubuntu: sudo {' '.join(command)}")
        return
    print(f"Installing for the tests: {', '.join(missing)} ...")
    for step in (["apt-get", "update", "-q"], command):
        ran = subprocess.run(step, capture_output=True, text=True, check=False)
        if ran.returncode != 0:
            print(f"{' '.join(step)} failed: {ran.stderr.strip()[-500:]}")
            return


if __name__ == "__main__":
    main()
