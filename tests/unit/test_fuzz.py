"""A small run of the fuzzer; ``python -m tests.chaos --decode 1000000`` is the long one."""

from __future__ import annotations

import re

from tests.chaos.fuzz import fuzz_ratings, fuzz_requests


def test_mutated_ratings_are_learned_or_dead_letters() -> None:
    told = fuzz_ratings(8000, seed=3)
    letters, learned = re.search(r"(\d+) dead letters, (\d+) learned", told).groups()  # type: ignore[union-attr]
    assert int(letters) + int(learned) == 8000
    assert min(int(letters), int(learned)) > 1000


def test_mutated_requests_get_one_reply_each() -> None:
    told = fuzz_requests(2000, seed=3)
    assert "bad_request" in told
    assert " ok" in told
