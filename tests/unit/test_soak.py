"""The soak's verdict: what grows after the warm-up is told."""

from __future__ import annotations

from collections.abc import Sequence

from tests.chaos.soak import Sample, growth

MB = 1e6


def run(memory: Sequence[float], files: Sequence[int] | None = None) -> list[str]:
    return growth(
        [Sample(each * MB, count) for each, count in zip(memory, files or [50] * len(memory), strict=True)]
    )


def test_a_warm_up_is_no_leak() -> None:
    assert run([100, 200, 300, 300, 301, 300, 302, 303, 300]) == []


def test_memory_that_goes_on_growing_is_told() -> None:
    assert run([100, 200, 300, 310, 320, 330, 340, 350, 360]) == ["memory has grown from 320 to 350 MB"]


def test_one_high_moment_is_no_leak() -> None:
    assert run([300] * 8 + [900], [50] * 8 + [90]) == []


def test_open_files_that_go_on_growing_are_told() -> None:
    assert run([300] * 9, list(range(40, 58, 2))) == ["open files have grown from 48 to 54"]


def test_a_run_too_short_to_tell_says_nothing() -> None:
    assert run([100, 900]) == []
