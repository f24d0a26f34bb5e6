"""What was shown is not shown again: over HTTP and Kafka, by every worker, also after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from recommender.client import Client
from tests.support.calling import call
from tests.support.kafka import Record, consume_all, produce, wait_until
from tests.support.worker_logs import Running, generated, running_worker
from tests.support.workers import PATIENCE, Worker

SETTINGS: dict[str, Any] = {"recommendations_log": "on", "hide_seen_for": 2}


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that logs what it shows."""
    ratings = generated(3000, seed=9, users=40, items=200)
    with running_worker(
        kafka, tmp_path_factory.mktemp("not-again"), "not-again", ratings=ratings, **SETTINGS
    ) as running:
        yield running
        assert "Traceback" not in running.worker.log
        running.oracle.look()
        running.oracle.assert_agrees(running.worker)


def items(worker: Worker, **body: Any) -> list[str]:
    return call(worker, "/recommend", {"user": "u1", **body}).items


def logged(running: Running, user: str) -> int:
    """How many records of the recommendations log are about a user, once the worker knows the whole log."""
    log = consume_all(running.kafka, running.topics.recommendations)
    results = ("taken", "refused")
    known = sum(running.worker.metric("recommender_log_records_total", result=each) for each in results)
    return sum(each.key == user.encode() for each in log) if known >= len(log) else 0


def shown(running: Running, by: Worker | None = None, **body: Any) -> list[str]:
    """A list that the worker knows to have been shown, by itself or by another one."""
    user = body.get("user", "u1")
    log = consume_all(running.kafka, running.topics.recommendations)
    before = sum(each.key == user.encode() for each in log)
    found = items(by or running.worker, **body)
    wait_until(lambda: logged(running, user) > before, PATIENCE)
    return found


def test_page_after_page_without_an_item_twice(running: Running) -> None:
    seen: set[str] = set()
    for _ in range(5):
        page = shown(running, user="u2", hide_seen=1)
        assert len(page) == 10
        assert not seen & set(page)
        seen |= set(page)
    assert set(items(running.worker, user="u2")) & seen  # who does not ask for it gets the best


def test_after_so_many_times_by_query_client_and_its_setting_for_hours(running: Running) -> None:
    best = shown(running, user="u3", n=3, hide_seen=2)
    assert shown(running, user="u3", n=3, hide_seen=2) == best
    third = call(running.worker, "/recommend?user=u3&n=3&hide_seen=2").items
    assert not set(third) & set(best)
    with Client(running.kafka, running.topics.prefix) as client:
        given = client.recommend("u3", n=3, hide_seen=2, timeout=PATIENCE)
        assert not {each.item for each in given.items} & set(best)
        # What was shown an hour ago or less counts, and then nothing that is older.
        given = client.recommend("u3", n=3, hide_seen=2, hide_seen_for=1e-9, timeout=PATIENCE)
        assert [each.item for each in given.items] == best
    longer = call(running.worker, "/recommend", {"user": "u3", "hide_seen": 1, "hide_seen_for": 3})
    assert "RECOMMENDER_HIDE_SEEN_FOR is 2" in longer.error["message"]


def test_a_list_of_what_is_left_says_why_it_is_short(running: Running) -> None:
    shown(running, user="u4", n=1000)
    left = call(running.worker, "/recommend", {"user": "u4", "hide_seen": 1}).body
    assert left["items"] == []
    assert "shown in the last 2 h" in left["fewer"]
    own = items(running.worker, user="u4", include_rated=True, hide_seen=1, n=1000)
    assert own  # what the user has rated is no novelty that was shown in vain


def test_a_worker_that_was_killed_and_another_one_know_it(running: Running) -> None:
    best = shown(running, user="u5")
    other = running.installation.worker(**SETTINGS).start().ready()
    assert not set(items(other, user="u5", hide_seen=1)) & set(best)
    # What one shows the other one leaves out.
    page = shown(running, by=other, user="u6")
    assert not set(items(running.worker, user="u6", hide_seen=1)) & set(page)
    other.stop()
    running.worker.kill()
    running.worker.start().ready()
    assert not set(items(running.worker, user="u5", hide_seen=1)) & set(best)
    assert running.worker.status()["shown"]["users"] >= 4


def test_records_that_are_none_are_passed_over(running: Running) -> None:
    bad = [b"not json", b'{"user": "u7"}', b"\xff" * 100, b"[" * 10_000]
    produce(running.kafka, running.topics.recommendations, [Record(value, b"u7") for value in bad])
    page = shown(running, user="u7")
    assert not set(items(running.worker, user="u7", hide_seen=1)) & set(page)
    assert running.worker.metric("recommender_log_records_total", result="refused") == len(bad)
    assert "newest_refusal" in running.worker.status()["shown"]


def test_without_a_log_the_request_says_what_to_turn_on(running: Running) -> None:
    other = running.installation.worker().start().ready()
    answer = call(other, "/recommend?user=u1&hide_seen=1")
    assert answer.status == 400
    assert "RECOMMENDER_RECOMMENDATIONS_LOG=on" in answer.error["message"]
    assert call(other, "/recommend?user=u1").status == 200
    other.stop()
