"""What a worker says of its health, check by check."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from recommender.errors import RecommenderError
from recommender.web.health import Check, failing, page
from recommender.worker.health import Health
from recommender.worker.loop_watch import LoopWatch


class Setup:
    """A worker that is well, until a test makes something otherwise."""

    def __init__(self) -> None:
        self.behind: str | None = None
        self.requests: Any = SimpleNamespace(not_joined=None, partitions={2, 0})
        replica = type("Replica", (), {"position": 7, "__str__": lambda each: "journal[0]"})()
        self.replicas: Any = [SimpleNamespace(replica=replica, saved=-1, saved_at=0.0)]
        self.checkpointing: Any = SimpleNamespace(differs={}, errors={})
        self.broker: Any = SimpleNamespace(broker="kafka:9092", gone_seconds=None)
        self.loop = LoopWatch()
        self.failure: RecommenderError | None = None
        self.reads = {1}
        self.sources: list[Any] = []

    def checks(self) -> dict[str, Check]:
        following: Any = SimpleNamespace(behind=lambda seconds: self.behind)
        health = Health(
            *(following, self.requests, self.replicas, self.checkpointing, self.broker, self.loop),
            *(lambda: self.failure, lambda: self.reads, lambda: self.sources),
        )
        return {each.name: each for each in health.checks()}


def test_a_worker_that_is_well() -> None:
    checks = Setup().checks()
    assert {each.level for each in checks.values()} == {"ok"}
    assert failing(list(checks.values())) is None
    assert checks["journal"].says == "followed: journal[0] up to offset 7"
    assert checks["requests"].says == "answers partitions 0, 2"
    assert checks["ratings"].says == "reads partition 1"


def test_a_standby_is_ready() -> None:
    setup = Setup()
    setup.requests.partitions, setup.reads = set(), set()
    checks = setup.checks()
    assert failing(list(checks.values())) is None
    assert checks["requests"].says == "a standby: other workers have all partitions of the requests"


@pytest.mark.parametrize("what", ["digests", "worker", "journal", "requests"])
def test_what_makes_it_not_ready(what: str) -> None:
    setup = Setup()
    said = f"{what} is not as it should be"
    if what == "digests":
        setup.checkpointing.differs[0] = said
    elif what == "worker":
        setup.failure = RecommenderError(said)
    elif what == "journal":
        setup.behind = said
    else:
        setup.requests.not_joined = said
    checks = setup.checks()
    assert checks[what] == Check(what, "failing", said)
    assert page(list(checks.values())).splitlines()[0] == f"not ready: {said}"


def test_what_only_warns() -> None:
    setup = Setup()
    setup.checkpointing.errors[0] = OSError("no room")
    setup.broker.gone_seconds = 12.3
    checks = setup.checks()
    assert failing(list(checks.values())) is None
    assert checks["checkpoints"].says == "checkpoints cannot be written, so a restart takes longer: no room"
    assert checks["broker"] == Check("broker", "warning", "no broker at kafka:9092 has answered for 12 s")


def test_how_each_source_is() -> None:
    setup = Setup()
    given: list[Any] = [("clicks", {2, 0}, None), ("orders", set(), None), ("films", set(), "nobody knows")]
    setup.sources = [
        SimpleNamespace(name=name, topic=f"shop.{name}", reads=reads, waits_for=why)
        for name, reads, why in given
    ]
    checks = setup.checks()
    assert checks["source clicks"] == Check("source clicks", "ok", "reads partitions 0, 2 of shop.clicks")
    assert checks["source orders"].says == "reads none of shop.orders: other workers do"
    assert checks["source films"] == Check("source films", "warning", "source films waits: nobody knows")
    assert failing(list(checks.values())) is None


def test_how_old_the_newest_checkpoint_is() -> None:
    setup = Setup()
    assert setup.checks()["checkpoints"].says == "none was saved yet"
    setup.replicas[0].saved, setup.replicas[0].saved_at = 5, time.time() - 30
    assert setup.checks()["checkpoints"].says == "the newest was saved 30 s ago"


async def test_how_long_the_loop_was_held_up() -> None:
    loop = LoopWatch()
    looking = asyncio.create_task(loop.measure())
    await asyncio.sleep(0)
    time.sleep(0.7)  # noqa: ASYNC251 - that is what is to be noticed
    await looking
    assert loop.held_up >= 0.15
    assert "held up for at most" in loop.summary()
