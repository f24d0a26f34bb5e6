"""All that a worker needs is compiled ahead, in another process while somebody waits for something else."""

from __future__ import annotations

import subprocess
import sys

from recommender.worker import kernels

CODE = """
import runpy, sys
from recommender.ingest import field_json, rating_json
from recommender.journal import block_kernels, rule_kernels
from recommender.models.factors import kernels as mf_kernels
sys.argv = ["kernels", "mf"]
runpy.run_module("recommender.worker.kernels", run_name="__main__")
for module in (field_json, rating_json, block_kernels, rule_kernels, mf_kernels):
    print(any(each.signatures for each in vars(module).values() if hasattr(each, "signatures")))
"""


def test_warming_ends_well() -> None:
    with kernels.warming("popular") as other:
        assert other.wait() == 0


def test_its_command_compiles_the_models_and_what_decodes_and_reads_the_journal() -> None:
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300, check=True
    )
    assert run.stdout.split() == ["True"] * 5
