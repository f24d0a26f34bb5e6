"""Whatever happens to owners and blocks, each rating counts once, in order; and what is wrong is found.

``make nightly`` plays 100,000 of them.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import pytest

from recommender.journal.block import Source, head_of
from recommender.journal.block_reader import read
from recommender.journal.lanes import Flight, Lane
from tests.unit.journal.blocks import Block, listed
from tests.unit.journal.owners import Rated, Setting
from tests.unit.journal.simulation import History

#: Histories of all kinds together.
HISTORIES = int(os.environ.get("HISTORIES", "2000"))
#: Histories in which a mutant must be found.
MUTANT_HISTORIES = 150

KINDS = {
    "K1-follows": Setting(),
    "K3-follows": Setting(partitions=3),
    "K1-committed": Setting(follows=False),
    "K3-committed": Setting(partitions=3, follows=False),
}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
def test_each_rating_counts_once_and_in_order(kind: str) -> None:
    totals: Counter[str] = Counter()
    for seed in range(HISTORIES // len(KINDS)):
        history = History(seed, KINDS[kind])
        assert history.play() == [], f"seed {seed}"
        totals.update(history.counts)
        for follower in history.followers:
            counts = follower.counts  # type: ignore[attr-defined]
            totals.update({name: getattr(counts, name) for name in ("applied", "cut", "duplicate", "ahead")})
    assert min(totals[name] for name in totals if KINDS[kind].follows or name != "thrown away") > 0, totals
    print(kind, dict(totals))


class WrongRule:
    """A rule that is wrong."""

    def __init__(self, wrong: str) -> None:
        self._wrong = wrong
        self._applied: dict[Source, int] = {}
        self.position = 0
        self.rated: list[Rated] = []

    def applied(self, source: Source) -> int:
        return self._applied.get(source, 0)

    def step(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            assert block.value is not None
            head, have = head_of(block.value), self.applied(head_of(block.value).source)
            self.position = block.offset + 1
            if head.end <= have or (head.begin > have and self._wrong != "takes what is ahead"):
                continue
            content = read(block.value, "journal", 0, block.offset)
            for offset, rated in zip(content.offsets.tolist(), listed(content.rows), strict=True):
                if offset >= have or self._wrong == "does not cut":
                    self.rated.append(rated)
            last = content.offsets.tolist()[-1:] or [have - 1]
            self._applied[head.source] = last[0] + 1 if self._wrong == "ends with the last row" else head.end


class CarelessLane(Lane):
    """A lane that commits past a failed block."""

    def answer(self, flight: Flight, partition: int, offset: int | None) -> None:
        super().answer(flight, partition, offset)
        if flight.pending == 0:
            self.acked = max(self.acked, flight.end)


class BlindLane(Lane):
    """A lane that does not notice that a block is missing."""

    def check(self, partition: int, position: int, applied: int) -> bool:
        return True


def wrong(name: str) -> Setting:
    return Setting(rule=lambda partition, partitions: WrongRule(name))


MUTANTS = {
    "does not cut": wrong("does not cut"),
    "takes what is ahead": wrong("takes what is ahead"),
    "ends with the last row": wrong("ends with the last row"),
    "does not go back": Setting(goes_back=False),
    "does not look": Setting(lane=BlindLane),
    "commits past a failed block": Setting(follows=False, lane=CarelessLane),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_is_wrong_is_found(name: str) -> None:
    assert any(History(seed, MUTANTS[name]).play() for seed in range(MUTANT_HISTORIES))


def test_the_wrong_rule_without_a_fault_is_right() -> None:
    assert all(History(seed, wrong("nothing")).play() == [] for seed in range(50))
