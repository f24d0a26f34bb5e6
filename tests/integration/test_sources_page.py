"""The examples of the page about sources, each as it stands there, on a worker that runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.integration.source_records import change, click, encoded, event, standing
from tests.integration.test_worker_schemas import AVRO, avro_bytes, ends
from tests.support.kafka import Record, create_topics, produce
from tests.support.registry import small_registry
from tests.support.worker_logs import Oracle
from tests.support.workers import installed

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
AT = "2025-11-03T12:00:00Z"


def examples(prefix: str) -> str:
    """The tables of the page, on topics of our own."""
    text = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL))

    def with_topic(found: re.Match[str]) -> str:
        name = found.group(1).strip('"')
        return found.group() if name.endswith(".events") else f'{found.group()}\ntopic = "{prefix}{name}"'

    return re.sub(r"^\[(.*?)\]", with_topic, text, flags=re.MULTILINE)


def order(status: str, *skus: str) -> bytes:
    return encoded({"status": status, "customer": {"id": 42}, "lines": [{"sku": each} for each in skus]})


def row(item: str, stars: int) -> dict[str, Any]:
    return {"user_id": "bob", "movie_id": item, "stars": stars, "updated_at": 1_762_171_200_000_000}


def records() -> dict[str, list[Record | bytes]]:
    """What is in each topic."""
    film = {"userId": "ann", "movie": {"id": "m1"}, "stars": 10, "ratedAt": AT}
    rated = {"userId": "joe", "movieId": 7, "stars": 4.0, "at": 1_762_171_200_000}
    return {
        "film-ratings": [
            encoded(film),
            encoded({**film, "movie": {"id": "m2"}, "ratedAt": 1_762_171_200_000}),
        ],
        "shop.public.ratings": [
            change("c", None, row("m1", 4)),
            change("r", None, row("m2", 3)),
            change("d", row("m2", 3), None),
        ],
        "reviews": [
            event(b"com.shop.review.created", "m1", 4),
            event(b"com.shop.review.created", "m2", 4),
            event(b"com.shop.review.deleted", "m2", 4),
        ],
        "orders-rated": [avro_bytes(AVRO, rated, 5)],
        "clicks": [
            click("purchase", "m2"),
            click("view", "m2"),
            click("watch", "m4", seconds=50, duration=100),
            click("add_to_cart", "m5"),
            click("remove_from_cart", "m5"),
        ],
        "views": [Record(encoded({"sku": "m1"}), b"zoe")],
        "orders": [order("paid", "m1", "m2"), order("open", "m3")],
    }


EXPECTED = {
    "ann": {"m1": 5.0, "m2": 5.0},
    "bob": {"m1": 4.0},
    "eve": {"m1": 4.0},
    "joe": {"7": 4.0},
    "kai": {"m2": 5.0, "m4": 3.0},
    "zoe": {"m1": 1.0},
    "42": {"m1": 5.0, "m2": 5.0},
}


def test_the_examples_of_the_page_are_learned(kafka: str, tmp_path: Path) -> None:
    with small_registry() as (url, registry), installed(kafka, tmp_path, "page") as installation:
        registry.put(5, AVRO)
        prefix, sent = installation.topics.prefix, records()
        create_topics(kafka, *(prefix + name for name in sent), configs={"retention.ms": "-1"})
        for name, each in sent.items():
            produce(kafka, prefix + name, each)
        file = tmp_path / "sources.toml"
        file.write_text(examples(prefix), "utf-8")
        worker = installation.worker(sources=str(file), registry=url, model="popular").start().ready()
        oracle = Oracle(installation, model="popular", repeats="highest")
        for name, each in sent.items():
            ends(installation, oracle, worker, name, len(each))
        assert standing(oracle.replica) == EXPECTED
        oracle.assert_agrees(worker)
