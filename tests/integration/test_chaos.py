"""A short run of chaos; ``make chaos`` is the long one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.chaos.sold_out import sold_out


@pytest.mark.timeout(600)
def test_nothing_is_lost_and_nothing_counts_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    violations = run(tmp_path, kills=2, seed=11, ratings=200.0, requests=20.0, say=print)
    assert not violations, "\n".join(violations)
    told = capsys.readouterr().out
    # One more where the draw kills on top of another fault.
    kills = re.search(r"^kill: (\d+);", told, re.MULTILINE)
    assert kills is not None
    assert int(kills[1]) >= 2
    assert "broker: 1" in told


@pytest.mark.timeout(600)
def test_nothing_that_is_sold_out_is_shown(kafka: str, tmp_path: Path) -> None:
    """Three hundred requests and a kill; ``python -m tests.chaos --sold-out 100000`` is the long run."""
    told: list[str] = []
    violations = sold_out(tmp_path, 300, seed=5, say=told.append, kafka=kafka, items=300, kills=1)
    assert not violations, "\n".join([*violations, *told])
    assert re.search(r"[1-9]\d* HTTP, [1-9]\d* Kafka", told[-1])
