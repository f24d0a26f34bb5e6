"""The start of a worker's process, and its end in time."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc, sys
from recommender import settings
from recommender.models.factors import kernels as mf_kernels
from recommender.worker import process
process.prepare(settings.load({}, model="mf"))
print(gc.get_freeze_count() > 10_000, gc.get_threshold()[0] == process.COLLECT_AFTER)
print(abs(sys.getswitchinterval() - process.SWITCH_INTERVAL) < 1e-6)
print(any(each.signatures for each in vars(mf_kernels).values() if hasattr(each, "signatures")))
"""


def test_kernels_are_compiled_and_collector_and_threads_keep_out_of_the_way() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=True
    )
    assert run.stdout.split() == ["True"] * 4


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


HANGS = """
import logging, threading
from recommender.worker.process import end_within
logging.basicConfig()
timer = end_within(0.05, "stopping")
{then}
"""


def run(then: str) -> subprocess.CompletedProcess[str]:
    code = HANGS.format(then=then)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_what_hangs_is_ended_and_says_so() -> None:
    ended = run("threading.Event().wait()")
    assert ended.returncode == 1
    assert "stopping takes longer than 0.05 s: ending at once" in ended.stderr


def test_what_ends_by_itself_is_left_alone() -> None:
    ended = run("timer.cancel(); timer.join(); print('done')")
    assert (ended.returncode, ended.stdout) == (0, "done\n")
    assert "ending at once" not in ended.stderr
