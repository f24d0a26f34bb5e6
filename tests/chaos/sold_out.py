"""A shop whose items are sold out and come back, while requests run and workers die."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recommender.client.items import write_items
from recommender.kafka.local.ports import HOST
from tests.support.asking import asking
from tests.support.brokers import local_broker
from tests.support.kafka import Record, produce
from tests.support.worker_logs import rating
from tests.support.workers import Installation, Worker, installed

GENRES = 18
PARTITIONS = 2
#: How long after Kafka has the record an item may still be shown, in seconds.
LATE = 1.0
#: How long a third of the items is sold out, in seconds.
ROUND = 3.0
#: Requests over Kafka that are under way at once.
UNDER_WAY = 20
N = 20


class Shop:
    """The items, which of them are sold out, and since when all workers must know."""

    def __init__(self, kafka: str, topic: str, items: int, draw: random.Random) -> None:
        self._kafka, self._topic, self._items, self._draw = kafka, topic, items, draw
        self._sold: dict[str, float] = {}
        self.rounds = 0

    def open(self) -> None:
        """Write the whole catalogue, with a genre or two each."""
        every = ((item_of(number), self._described(number)) for number in range(self._items))
        write_items(every, self._kafka, self._topic)

    def sell(self) -> None:
        """Sell a third out, and have all others back."""
        gone = set(self._draw.sample(range(self._items), self._items // 3))
        back = [
            number for number in range(self._items) if item_of(number) in self._sold and number not in gone
        ]
        new = [number for number in gone if item_of(number) not in self._sold]
        for number in back:
            del self._sold[item_of(number)]  # before Kafka has it: from now on it may be shown
        changed = [(item_of(number), self._described(number, number not in gone)) for number in [*back, *new]]
        write_items(changed, self._kafka, self._topic)
        now = time.monotonic()
        self._sold.update((item_of(number), now) for number in new)
        self.rounds += 1

    def wrong(self, items: list[str], asked: float) -> dict[str, float]:
        """The items that were sold out too long before a request was asked, and for how many seconds."""
        since = {each: asked - self._sold.get(each, asked) for each in items}
        return {each: round(seconds, 2) for each, seconds in since.items() if seconds > LATE}

    def _described(self, number: int, available: bool = True) -> dict[str, Any]:
        genres = sorted({f"genre {number % GENRES}", f"genre {number * 7 % GENRES}"})
        return {"title": f"Item {number}", "categories": genres, "available": available}


def item_of(number: int) -> str:
    """The id of an item."""
    return f"i{number}"


class Verdict:
    """What was answered, counted by all who ask."""

    def __init__(self, shop: Shop, wanted: int) -> None:
        self._shop, self.wanted, self._lock = shop, wanted, threading.Lock()
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []

    @property
    def done(self) -> bool:
        """Enough requests were answered."""
        return self.counts["answered"] >= self.wanted

    def take(self, way: str, body: dict[str, Any], asked: float) -> None:
        """Look at an answer to a request that was asked at a moment."""
        items = [each["item"] for each in body.get("items", ())]
        wrong = self._shop.wrong(items, asked)
        with self._lock:
            self.counts["answered" if body["ok"] else "failed"] += 1
            self.counts[way] += 1
            self.counts["places"] += len(items)
            if wrong and len(self.violations) < 20:
                told = f"of {items} these are sold out for more than {LATE:g} s: {wrong}"
                self.violations.append(f"{way}, in round {self._shop.rounds}: {told}")

    def missed(self) -> None:
        """Count a call that reached no worker."""
        with self._lock:
            self.counts["unreached"] += 1


def request(draw: random.Random, users: int) -> dict[str, Any]:
    """A request of one of the kinds that a shop asks."""
    genre = f"genre {draw.randrange(GENRES)}"
    kinds: list[dict[str, Any]] = [
        {"user": f"u{draw.randrange(users)}"},
        {"user": f"u{draw.randrange(users)}", "categories": [genre]},
        {"user": f"u{draw.randrange(users)}", "hide_seen": 2},
        {"similar_to": item_of(draw.randrange(100))},
        {"popular": True, "not_categories": [genre]},
        {"history": [item_of(draw.randrange(100)) for _ in range(3)]},
        {"user": f"u{draw.randrange(users)}", "items": [item_of(draw.randrange(500)) for _ in range(100)]},
    ]
    return {**draw.choice(kinds), "n": N}


def sold_out(
    directory: Path,
    count: int,
    seed: int,
    say: Callable[[str], None],
    *,
    kafka: str | None = None,
    items: int = 10_000,
    kills: int = 4,
) -> list[str]:
    """Two workers answer requests over Kafka and HTTP, while a third of a catalogue is sold out in turns.

    Parameters
    ----------
    directory : Path
        For checkpoints and logs.
    count, seed : int
    say : function
        Told what happens, line by line.
    kafka : str, optional
        Bootstrap servers; by default a broker is started.
    items : int
    kills : int
        How often a worker is killed meanwhile, and started again.

    Returns
    -------
    list of str
        What must not be.
    """
    if kafka is None:
        with local_broker() as address:
            return sold_out(directory, count, seed, say, kafka=address, items=items, kills=kills)
    draw, users = random.Random(seed), max(20, items // 10)
    with installed(kafka, directory, "sold-out", PARTITIONS) as installation:
        records = [
            Record(
                rating(
                    f"u{draw.randrange(users)}", item_of(int(items * draw.random() ** 2)), draw.randint(1, 5)
                )
            )
            for _ in range(4 * items)
        ]
        produce(kafka, installation.topics.ratings, records)
        shop = Shop(kafka, installation.topics.items, items, draw)
        shop.open()
        workers = [installation.worker(recommendations_log="on").start() for _ in range(2)]
        for each in workers:
            each.ready()
        verdict = Verdict(shop, count)
        began = time.monotonic()
        with _asking(installation, workers, verdict, users, seed):
            violations = _run(shop, verdict, workers, draw, kills, say)
        told = ", ".join(f"{number} {what}" for what, number in sorted(verdict.counts.items()))
        say(f"{told}; {shop.rounds} rounds, {kills} kills, {time.monotonic() - began:.0f} s")
        violations += verdict.violations
        violations += [f"{number} failed" for number in [verdict.counts["failed"]] if number]
        violations += [f"worker {number} has logged a traceback" for number, each in enumerate(workers)
                       if "Traceback" in each.log]  # fmt: skip
        return violations


def _run(
    shop: Shop,
    verdict: Verdict,
    workers: list[Worker],
    draw: random.Random,
    kills: int,
    say: Callable[[str], None],
) -> list[str]:
    """Sell and have back, and kill in between, until enough was asked."""
    left, every = kills, max(1, verdict.wanted // (kills + 1))
    next_kill, standing, answered = every, time.monotonic(), 0
    while not verdict.done or left:
        shop.sell()
        until = time.monotonic() + ROUND
        if left and (verdict.counts["answered"] >= next_kill or verdict.done):
            left, next_kill = left - 1, next_kill + every
            worker = draw.choice(workers)
            worker.kill()
            worker.start().ready()
        while time.monotonic() < until and not (verdict.done and not left):
            time.sleep(0.05)
        if verdict.counts["answered"] > answered:
            standing, answered = time.monotonic(), verdict.counts["answered"]
            say(f"{answered} answered, {len(verdict.violations)} violations")
        elif time.monotonic() > standing + 90.0:
            return ["nothing was answered for 90 s"]
    return []


@contextmanager
def _asking(
    installation: Installation, workers: list[Worker], verdict: Verdict, users: int, seed: int
) -> Iterator[None]:
    """Ask over Kafka and each worker over HTTP, until the end."""
    stopping = threading.Event()
    threads = [threading.Thread(target=_over_kafka, args=(installation, verdict, users, seed, stopping))]
    threads += [
        threading.Thread(
            target=_over_http, args=(worker.port, verdict, users, f"{seed} {worker.port}", stopping)
        )
        for worker in workers
    ]
    for each in threads:
        each.start()
    try:
        yield
    finally:
        stopping.set()
        for each in threads:
            each.join()


def _over_http(port: int, verdict: Verdict, users: int, seed: str, stopping: threading.Event) -> None:
    draw, headers = random.Random(seed), {"Content-Type": "application/json"}
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    while not stopping.is_set():
        asked = time.monotonic()
        try:
            connection.request("POST", "/recommend", json.dumps(request(draw, users)), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException):  # it was killed
            connection.close()
            verdict.missed()
            stopping.wait(0.1)
            continue
        if answer.status != 503:  # it has just started, and says so
            verdict.take("HTTP", body, asked)
    connection.close()


def _over_kafka(
    installation: Installation, verdict: Verdict, users: int, seed: int, stopping: threading.Event
) -> None:
    draw = random.Random(f"{seed} kafka")
    with asking(installation.kafka, installation.topics) as asker:
        for _ in itertools.takewhile(lambda _: not stopping.is_set(), itertools.count()):
            sent = [(time.monotonic(), asker.send(request(draw, users))) for _ in range(UNDER_WAY)]
            for asked, correlation in sent:
                verdict.take("Kafka", asker.reply(correlation).body, asked)
