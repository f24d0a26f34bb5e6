"""Items from a topic that exists already: a source of its own, next to one of ratings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.calling import Answer, call
from tests.support.kafka import Record, create_topics, produce, wait_until
from tests.support.worker_logs import generated
from tests.support.workers import PATIENCE, Worker, installed

TABLES = """
['{products}']
kind = "items"
title = "name"
available = "stock"
categories = "tags"
['{clicks}']
user = "who"
item = "sku"
rating = 5
"""


def test_a_shop_s_own_topics_are_all_that_it_takes(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "item-sources") as installation:
        products, clicks = (installation.topics.prefix + name for name in ("products", "clicks"))
        create_topics(kafka, products, clicks, partitions=2)
        produce(kafka, installation.topics.ratings, generated(500, seed=3, users=20, items=30))
        worker = installation.worker(sources=TABLES.format(products=products, clicks=clicks))
        worker.start().ready().learned({0: 500})
        known: dict[str, dict[str, Any] | None] = {f"i{number}": product(number) for number in range(30)}
        bad: dict[str, dict[str, Any] | None] = {"i1": {"name": ["x"]}, "i2": {"tags": 3.5}}
        put(kafka, products, {**known, "new": {"name": "New", "tags": "fresh"}})
        put(kafka, products, bad)
        wait_until(lambda: taken(worker, "taken") >= 31 and taken(worker, "refused") == 2, PATIENCE)

        for _ in range(2):
            assert {title_number(each) % 3 for each in ask(worker, categories=["c1"]).body["items"]} == {1}
            # What nobody has rated is recommended by its category, and by chance.
            only = ask(worker, categories=["fresh"]).body["items"]
            assert [(each["item"], each["title"], each["cold_start"]) for each in only] == [
                ("new", "New", True)
            ]
            tried = [ask(worker, explore=1.0, n=20).items for _ in range(10)]
            assert any("new" in each for each in tried)
            assert "i29" not in ask(worker, n=1000, include_rated=True).items  # its stock is 0
            told = worker.status()["items"]
            assert told["items"] == 31
            assert told["sources"][products]["topic"] == products
            assert (
                "`$.name`" in told["sources"][products]["newest_refusal"]
                or "`$.tags" in (told["sources"][products]["newest_refusal"])
            )
            worker.kill()  # what it says is read again
            worker.start().ready()

        put(kafka, products, {"new": None})
        wait_until(lambda: ask(worker, categories=["fresh"]).items == [], PATIENCE)
        produce(kafka, clicks, [Record(json.dumps({"who": "u1", "sku": "i3"}).encode())])
        wait_until(lambda: "i3" not in ask(worker, n=1000).items, PATIENCE)
        assert "Traceback" not in worker.log


def product(number: int) -> dict[str, Any]:
    return {"name": f"Item {number}", "stock": 29 - number, "tags": [f"c{number % 3}"]}


def put(kafka: str, topic: str, products: dict[str, dict[str, Any] | None]) -> None:
    produce(
        kafka,
        topic,
        [
            Record(None if each is None else json.dumps(each).encode(), item.encode())
            for item, each in products.items()
        ],
    )


def taken(worker: Worker, result: str) -> float:
    return worker.metric("recommender_items_records_total", result=result)


def ask(worker: Worker, **body: Any) -> Answer:
    return call(worker, "/recommend", {"user": "u1", "titles": True, **body})


def title_number(place: dict[str, Any]) -> int:
    return int(place["title"].removeprefix("Item "))
