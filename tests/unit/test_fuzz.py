"""A small run of the fuzzer; ``python -m tests.chaos --decode 1000000`` is the long one."""

from __future__ import annotations

from tests.chaos.fuzz import fuzz_ratings, fuzz_requests


def test_mutated_ratings_are_learned_or_dead_letters() -> None:
    told = fuzz_ratings(8000, seed=3)
    assert "dead letters" in told
    assert "learned" in told


def test_mutated_requests_get_one_reply_each() -> None:
    told = fuzz_requests(2000, seed=3)
    assert "bad_request" in told
    assert " ok" in told
