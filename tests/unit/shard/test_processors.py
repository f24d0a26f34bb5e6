"""Workers on different processors learn and answer the same, to the bit."""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from functools import cache

import pytest

from tests.support import bits

#: What an old processor lacks, by what numpy, the C library and the linear algebra library call it.
C_LIBRARY = "AVX512F,AVX512VL,AVX512BW,AVX512DQ,AVX2,AVX,FMA,FMA4,SSE4_1"
ALGEBRA = {"x86_64": "Prescott", "aarch64": "ARMV8"}
#: Those whose loops are the most; for another processor all of them have to be compiled.
LOOPS = ["blend", "mf", "bpr", "popular-recent", "exploration"]


def old_libraries() -> dict[str, str]:
    """The variables by which libraries do without what not every processor has."""
    compiled = importlib.import_module("numpy._core._multiarray_umath")
    features, dispatched = compiled.__cpu_features__, compiled.__cpu_dispatch__
    absent = ",".join(f"-{name}" for name in C_LIBRARY.split(","))
    machine = platform.machine()
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in dispatched if features[name]),
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={absent}" if machine == "x86_64" else "",
        "OPENBLAS_CORETYPE": ALGEBRA.get(machine, ""),
    }


@cache
def found(*parts: str, **variables: str) -> dict[str, dict[str, str]]:
    """The fingerprints that another process finds."""
    command = [sys.executable, "-m", "tests.support.bits", *parts]
    finished = subprocess.run(command, env=os.environ | variables, capture_output=True, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    result: dict[str, dict[str, str]] = json.loads(finished.stdout)
    return result


def test_numpy_and_the_libraries_may_use_what_the_processor_has() -> None:
    """Not `flurs:`, whose dot products are those of the linear algebra library."""
    assert found(**old_libraries()) == found()


@pytest.mark.timeout(600)
def test_numba_may_use_what_the_processor_has() -> None:
    usual = {part: prints for part, prints in found().items() if part in LOOPS}
    assert found(*LOOPS, NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="") == usual


def test_another_log_has_other_fingerprints() -> None:
    """They see what there is to see."""
    one, other = (bits.learned("popular-recent", events) for events in (200, 201))
    assert one.digest() != other.digest()
