"""A small fuzz run on the broker; ``make fuzz`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.fuzz_run import fuzz_broker

RECORDS = 3000


@pytest.mark.timeout(300)
def test_each_record_is_learned_once_or_has_its_letter_or_was_taken_back(
    kafka: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    violations = fuzz_broker(kafka, tmp_path, RECORDS, seed=1, say=print)
    assert not violations, "\n".join(violations)
    told = capsys.readouterr().out
    for way in ("by hand lz4", "plain zstd", "transaction aborted", "long transaction committed"):
        assert way in told
