"""What the live page is told, once a second."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recommender.history.rows import Rows
from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.responses import Recommended, Response
from recommender.web.health import OK, Check
from recommender.worker.just_now import JustNow
from recommender.worker.metrics import Metrics
from recommender.worker.picture import Picture, estimate
from recommender.worker.pulse import KEPT, Pulse
from tests.support.learning_setup import LearningWorker
from tests.unit.worker.test_metrics import worker_of


async def pulse_of(directory: Path, now: list[float]) -> tuple[Pulse, LearningWorker, Metrics, JustNow]:
    """The pulse of a worker that has followed a short journal; `now` holds the time."""
    worker, metrics = await worker_of(directory)
    health: Any = SimpleNamespace(checks=lambda: [Check("journal", OK, "followed")])
    just_now = JustNow()
    picture = Picture(metrics, worker.replicas)
    pulse = Pulse(
        metrics, worker.replicas, health, picture, just_now, standby=lambda: False, now=lambda: now[0]
    )
    return pulse, worker, metrics, just_now


async def first(ticks: AsyncIterator[bytes]) -> Any:
    """The first tick; nobody watches afterwards."""
    try:
        return json.loads(await anext(ticks))
    finally:
        await ticks.aclose()  # type: ignore[attr-defined]


async def test_what_a_page_is_told(tmp_path: Path) -> None:
    pulse, worker, _, _ = await pulse_of(tmp_path, [1000.0])
    told = await first(pulse.ticks(people=False))
    assert told["verdict"]["says"].startswith("Up to date: all ")
    (journal,) = told["journal"]
    shard = worker.replica.shard
    assert (journal["users"], journal["items"]) == (len(shard.users), len(shard.items))
    assert (journal["saved"], journal["saved_ago"], journal["lag"]) == (None, None, 0)
    assert [each["learned"] for each in told["sources"]] == [7, 2]
    assert told["letters"] == []


async def test_no_person_is_shown_to_whoever_may_not_see_them(tmp_path: Path) -> None:
    pulse, worker, _, _ = await pulse_of(tmp_path, [1000.0])
    users = worker.replica.shard.users.ids()
    told = await first(pulse.ticks(people=False))
    assert {"just_now", "examples"}.isdisjoint(told)
    shown = await first(pulse.ticks(people=True))
    assert set(shown["examples"]) <= set(users)
    assert shown["examples"]


async def test_a_page_that_opens_gets_ten_minutes(tmp_path: Path) -> None:
    now = [1000.0]
    pulse, _, metrics, _ = await pulse_of(tmp_path, now)
    assert json.loads(pulse.start(people=True))["series"] == []
    for _ in range(KEPT + 5):
        now[0] += 1.0
        pulse.take()
    metrics.counters.answered("ok", 0.004)
    metrics.counters.answered("ok", 0.002)
    pulse.take()
    times, ratings, lag, replies, most = json.loads(pulse.start(people=False))["series"]
    assert {len(times), len(ratings), len(lag), len(replies), len(most)} == {KEPT}
    assert (ratings[-1], lag[-1]) == (0.0, 0.0)
    assert most[-2] is None
    assert most[-1] == pytest.approx(4.0, abs=0.1)


async def test_a_stream_ends_with_the_worker(tmp_path: Path) -> None:
    pulse, *_ = await pulse_of(tmp_path, [1000.0])

    async def watch() -> int:
        count = 0
        async for _ in pulse.ticks(people=False):
            count += 1
            if count == 1:
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(pulse.close()))
        return count

    assert await asyncio.wait_for(watch(), 10.0) == 1


async def test_the_history_of_a_user(tmp_path: Path) -> None:
    pulse, worker, _, _ = await pulse_of(tmp_path, [1000.0])
    user = worker.replica.shard.users.id_of(0)
    told: Any = pulse.history(user)
    items, values, _ = worker.replica.shard.history.rated(0)
    assert told["count"] == len(items)
    assert told["ratings"][0]["item"] == worker.replica.shard.items.id_of(int(items[-1]))
    assert told["ratings"][0]["rating"] == pytest.approx(float(values[-1]))
    assert pulse.history("nobody") == {"user": "nobody", "known": False, "count": 0, "ratings": []}


async def test_items_are_found_by_their_titles_and_ids(tmp_path: Path) -> None:
    worker, metrics = await worker_of(tmp_path)
    known = worker.replica.shard.items.ids()
    titles = {known[0]: "The Straße (1994)", known[1]: "Street of the"}
    items = ItemStore()
    for item, title in titles.items():
        items.put(item, ItemInfo(title=title, categories=("b", "a")))
    picture = Picture(metrics, worker.replicas, items)
    assert picture.fixed()["categories"] == ["a", "b"]
    assert picture.items("STRASSE") == [{"item": known[0], "title": "The Straße (1994)"}]
    assert [each["item"] for each in picture.items("the")] == [known[0], known[1]]
    assert {"item": known[2], "title": None} in picture.items(known[2])
    assert picture.items("no such thing") == []
    user = worker.replica.shard.users.id_of(0)
    told: Any = picture.history(user)
    assert all(each["title"] == titles.get(each["item"]) for each in told["ratings"])


def rows(user: str, item: str, value: float) -> Rows:
    text = np.frombuffer((user + item).encode(), np.uint8)
    end = len(user.encode())
    spans = np.array([[0, end, end, len(text)]])
    return Rows(text, spans, np.array([value]), np.array([0.0]), np.ones(1, np.bool_))


def test_a_sample_of_what_goes_on_is_bounded() -> None:
    now = [100.0]
    just_now = JustNow(lambda: now[0])
    just_now.learned(rows("u", "x", 5.0))
    assert just_now.shown() == {"ratings": [], "answers": []}  # nobody watches
    just_now.watched = True
    for number in range(100):
        just_now.learned(rows(f"ü{number}", "x", math.nan if number == 90 else 4.0))
        just_now.answered(Response(f"u{number}", [Recommended("y", 1.0)] * 9, "m", "m", False, 0, 0, 0))
        now[0] += 0.05
    shown: Any = just_now.shown()
    assert len(shown["ratings"]) == len(shown["answers"]) == 8
    assert all(each["user"].startswith("ü") for each in shown["ratings"])
    assert len(shown["answers"][0]["items"]) == 3
    assert len({each["id"] for kind in shown.values() for each in kind}) == 16


def test_between_what_a_share_lies() -> None:
    """By the example of Wilson's interval in Newcombe (1998), table I: 81 of 263."""
    found = estimate(81 / 263, 263)
    assert found["low"] == pytest.approx(0.2553, abs=1e-4)
    assert found["high"] == pytest.approx(0.3662, abs=1e-4)
    assert estimate(math.nan, 0) == {"recall": None, "low": None, "high": None}
