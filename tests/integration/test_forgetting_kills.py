"""Workers are killed while they learn whom to forget and to merge: their state is that of one pass."""

from __future__ import annotations

import functools
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.kafka import Record, produce, wait_until
from tests.support.worker_logs import Oracle
from tests.support.workers import PATIENCE, Installation, Worker, installed

#: A model that keeps pairs of items, and one that keeps vectors of users.
SETTINGS = {"arms": "item-knn:1,mf:1", "test_every": "5", "max_users": "40", "recommendations_log": "off"}
KILLS = 3


def happening(draw: random.Random, count: int) -> list[Record]:
    """Ratings of few users and items, who are forgotten, come back, log in and are forgotten again."""
    found = []
    for _ in range(count):
        user, item = f"u{draw.randrange(60)}", f"i{draw.randrange(40)}"
        guest = f"u{(int(user[1:]) + 1 + draw.randrange(59)) % 60}"
        body: dict[str, object] = {"user": user, "item": item, "rating": draw.randint(1, 5)}
        chance = draw.random()
        if chance < 0.03:
            body = {"user": user, "forget": True}
        elif chance < 0.04:
            body = {"item": item, "forget": True}
        elif chance < 0.08:
            body = {"user": user, "merge": guest}
        found.append(Record(json.dumps(body).encode(), b"all in their order"))
    return found


@contextmanager
def written(here: Installation, seed: int) -> Iterator[None]:
    """Records keep coming during what happens inside."""
    over, draw = threading.Event(), random.Random(seed)

    def write() -> None:
        while not over.is_set():
            produce(here.kafka, here.topics.ratings, happening(draw, 100))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def position(worker: Worker) -> int:
    """How far a worker has followed the journal."""
    return max((int(each["position"]) for each in worker.journal.values()), default=0)


def is_at(worker: Worker, place: int) -> bool:
    """Tell whether it has followed it up to an offset."""
    return position(worker) >= place


def test_a_kill_in_the_middle_of_forgetting_and_merging(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "forgetting-kills") as here:
        draw = random.Random(7)
        killed, other = here.worker(**SETTINGS).start(), here.worker(**SETTINGS).start()
        for each in (killed, other):
            each.ready()
        with written(here, seed=3):
            for _ in range(KILLS):
                place = position(killed) + draw.randint(3, 30)
                wait_until(functools.partial(is_at, killed, place), PATIENCE, killed.log)
                killed.kill()
                killed.start().ready()
        replica = Oracle(here, **SETTINGS).assert_agrees(killed, other)
        assert 0 < len(replica.shard.users) <= 41
        assert replica.rule.counts.rows > 1000
        assert sum(each.metric("recommender_forgotten_total", result="forgotten") for each in (other,)) > 10
        assert other.metric("recommender_forgotten_total", result="merged") > 10
