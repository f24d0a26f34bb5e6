"""A rolling restart under load; `make rolling` is the long one, also with containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos.rolling import roll_processes


@pytest.mark.timeout(300)
def test_a_rolling_restart_loses_no_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    violations = roll_processes(tmp_path, rounds=1, seed=5, ratings=200.0, requests=40.0, say=print, calm=1.0)
    assert not violations, "\n".join(violations)
    told = capsys.readouterr().out
    assert told.count("ready") == 2
    sent = re.search(r"^requests: (\d+) sent, 0 without a reply", told, re.MULTILINE)
    assert sent is not None, told
    assert int(sent[1]) > 100
    assert re.search(r"^a worker restarting: \d+ replies", told, re.MULTILINE), told
