"""What a process does before it becomes a worker."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc
from recommender import settings
from recommender.models.factors import kernels as mf_kernels
from recommender.worker import process
process.prepare(settings.load({}, model="mf"))
print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] == process.COLLECT_AFTER)
print(any(each.signatures for each in vars(mf_kernels).values() if hasattr(each, "signatures")))
"""


def test_kernels_are_compiled_and_the_collector_is_spared() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=True
    )
    assert run.stdout.split() == ["True"] * 3


ENDS = """
import logging, sys, threading
from recommender.worker import process
logging.basicConfig(format="%(message)s")
threading.Thread(target=threading.Event().wait).start()
sys.stdout.write("printed")
logging.error("logged")
process.exit_now(7)
"""


def test_a_process_ends_at_once_whatever_still_runs_and_says_all_that_it_had_to_say() -> None:
    run = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (7, "printed", "logged\n")
