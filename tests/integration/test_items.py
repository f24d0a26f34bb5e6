"""The items topic, as a shop uses it: sold out, categories, titles, over Kafka and HTTP; and bad records."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from recommender.client import Client
from recommender.client.items import write_items
from tests.support.calling import call
from tests.support.kafka import Record, produce, wait_until
from tests.support.worker_logs import Running, generated, running_worker
from tests.support.workers import PATIENCE

ITEMS = 300


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that knows ratings of 300 items, whose titles and categories are in the items topic."""
    ratings = generated(5000, seed=8, users=60, items=ITEMS)
    with running_worker(kafka, tmp_path_factory.mktemp("items"), "items", ratings=ratings) as running:
        put(running, {f"i{number}": described(number) for number in range(ITEMS)})
        yield running
        assert "Traceback" not in running.worker.log
        running.oracle.look()
        running.oracle.assert_agrees(running.worker)


def described(number: int, **more: Any) -> dict[str, Any]:
    return {"title": f"Item {number}", "categories": [f"c{number % 5}"], **more}


def put(running: Running, items: dict[str, dict[str, Any] | None]) -> None:
    """Write items, and wait until the worker has taken them over."""
    before = taken(running)
    write_items(items.items(), running.kafka, running.topics.items)
    wait_until(lambda: taken(running) >= before + len(items), PATIENCE)


def taken(running: Running) -> float:
    return running.worker.metric("recommender_items_records_total")


def items(running: Running, body: dict[str, Any]) -> list[str]:
    return call(running.worker, "/recommend", body).items


def test_titles_and_categories(running: Running) -> None:
    body = {"user": "u1", "categories": ["c1", "c2"], "not_categories": ["c2"], "titles": True}
    shown = call(running.worker, "/recommend", body).body["items"]
    assert len(shown) == 10
    for each in shown:
        number = int(each["item"][1:])
        assert number % 5 == 1
        assert each["title"] == f"Item {number}"
    query = "/recommend?user=u1&categories=c1&categories=c2&not_categories=c2&titles=true"
    assert call(running.worker, query).body["items"] == shown
    with Client(running.kafka, running.topics.prefix) as client:
        given = client.recommend("u1", categories=["c1"], titles=True, timeout=PATIENCE)
        assert [(each.item, each.title) for each in given.items] == [
            (each["item"], each["title"]) for each in shown
        ]
        similar = client.recommend(similar_to="i1", categories=["c3"], timeout=PATIENCE)
        assert {int(each.item[1:]) % 5 for each in similar.items} == {3}


def test_a_shorter_list_says_why(running: Running) -> None:
    answer = call(running.worker, "/recommend", {"user": "u1", "n": 1000, "categories": ["c4"]}).body
    assert "not of the categories asked for" in answer["fewer"]
    assert "fewer" not in call(running.worker, "/recommend", {"user": "u1", "n": 5}).body
    put(
        running,
        {"fresh": {"categories": ["only"]}, "stale": {"categories": ["only"], "until": "2020-01-01T00:00Z"}},
    )
    only = call(running.worker, "/recommend", {"user": "u1", "categories": ["only"]}).body
    assert [(each["item"], each["cold_start"]) for each in only["items"]] == [("fresh", True)]
    assert call(running.worker, "/recommend", {"user": "u1", "categories": ["no such"]}).items == []


def test_what_is_sold_out_is_in_no_list_a_second_later(running: Running) -> None:
    """A third is sold out and comes back, again and again, while requests run over HTTP and Kafka."""
    draw = random.Random(4)
    sold: dict[str, float] = {}
    asked = 0
    with Client(running.kafka, running.topics.prefix) as client:
        for _ in range(6):
            gone = set(draw.sample(range(ITEMS), ITEMS // 3))
            records = [
                (f"i{number}", described(number, available=number not in gone)) for number in range(ITEMS)
            ]
            write_items(records, running.kafka, running.topics.items)
            since = time.monotonic()
            sold = {f"i{number}": since for number in gone}
            while time.monotonic() < since + 2.0:
                user = f"u{draw.randrange(60)}"
                begun = time.monotonic()
                found = items(running, {"user": user, "n": 100})
                if asked % 10 == 0:
                    given = client.recommend(user, n=100, timeout=PATIENCE)
                    found += [each.item for each in given.items]
                asked += 1
                wrong = [each for each in found if begun > sold.get(each, begun) + 1.0]
                assert wrong == []
    assert asked > 100
    put(running, {f"i{number}": described(number) for number in range(ITEMS)})


def test_gone_boosted_and_back(running: Running) -> None:
    best = items(running, {"user": "u2", "n": 20})
    put(running, {best[0]: None, best[19]: {"boost": 10}})
    shown = call(running.worker, "/recommend", {"user": "u2", "n": 20}).body["items"]
    assert best[0] not in [each["item"] for each in shown]
    assert (shown[0]["item"], shown[0]["boost"]) == (best[19], 10)
    put(running, {best[0]: {}, best[19]: {}})
    assert items(running, {"user": "u2", "n": 20}) == best


def test_bad_records_are_counted_and_stop_nothing(running: Running) -> None:
    before = running.worker.metric("recommender_items_records_total", result="refused")
    bad: list[tuple[bytes, bytes]] = [
        (b"i1", b"not json"),
        (b"i1", b'{"title": "' + b"x" * 900_000 + b'"}'),
        (b"i1", json.dumps({"categories": [f"c{number}" for number in range(10_000)]}).encode()),
        *[(b"i1", b'{"boost": %s}' % boost) for boost in (b"0", b"-1", b"NaN", b"Infinity", b'"much"')],
        (b"\xff", b"{}"),
        (b"i1", b'{"item": "i2"}'),
    ]
    produce(running.kafka, running.topics.items, [Record(value, key) for key, value in bad])
    put(running, {"after the bad ones": {"categories": ["last"]}})
    wait_until(
        lambda: (
            running.worker.metric("recommender_items_records_total", result="refused") == before + len(bad)
        ),
        PATIENCE,
    )
    assert items(running, {"user": "u1", "categories": ["last"]}) == ["after the bad ones"]
    told = running.worker.status()["items"]
    assert sum(told["refused"].values()) == before + len(bad)
    assert "`item` is 'i2'" in told["newest_refusal"]
    assert running.worker.log.count("it is passed over") <= 2


def test_a_worker_that_starts_again_knows_it_before_it_answers(running: Running) -> None:
    put(running, {f"i{number}": described(number, available=number % 2 == 0) for number in range(ITEMS)})
    running.worker.stop()
    running.worker.start().ready()
    found = items(running, {"user": "u1", "n": 1000})
    assert found
    assert all(each == "fresh" or int(each[1:]) % 2 == 0 for each in found if each != "after the bad ones")
