"""HTTP on a real worker: answers as over Kafka, ratings with their offsets, and all kinds of bad calls."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from recommender.messages.requests import Request
from tests.support.asking import asking
from tests.support.calling import Answer, call, connected, received, sent
from tests.support.kafka import wait_until
from tests.support.worker_logs import Running, generated, running_worker
from tests.support.workers import PATIENCE

USER = "u7"


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that knows 40 users and 60 items, which still learns and answers over Kafka at the end."""
    ratings = generated(1500, seed=3, users=40, items=60)
    directory = tmp_path_factory.mktemp("http")
    with running_worker(kafka, directory, "http", ratings=ratings, request_wait=0.3) as running:
        running.oracle.assert_agrees(running.worker)
        yield running
        with asking(kafka, running.topics) as asker:
            assert asker.ask({"user": USER}).body["ok"]
        running.oracle.look()
        running.oracle.assert_agrees(running.worker)
        assert "Traceback" not in running.worker.log


def post(running: Running, body: Any, **headers: str) -> Answer:
    return call(running.worker, "/recommend", body, headers)


def get(running: Running, path: str, **headers: str) -> Answer:
    return call(running.worker, path, None, headers)


def known(running: Running, body: dict[str, Any]) -> Answer:
    """The answer to a request with `after`, asked again while the worker has not learned that far."""
    wait_until(lambda: post(running, body).status == 200, PATIENCE, lambda: str(post(running, body)))
    return post(running, body)


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({}, ""),
        ({"n": 1}, "&n=1"),
        ({"n": 5, "exclude": ["i0", "i1"]}, "&n=5&exclude=i0&exclude=i1"),
        (
            {"n": 30, "items": ["i3", "i5"], "include_rated": True},
            "&n=30&items=i3&items=i5&include_rated=true",
        ),
        ({"n": 3, "arm": "blend", "explain": True}, "&n=3&arm=blend&explain=1"),
        ({"after": 0}, "&after=0"),
    ],
    ids=str,
)
def test_an_answer_is_that_of_the_shard(running: Running, options: dict[str, Any], query: str) -> None:
    running.oracle.look()
    expected = msgspec.json.decode(running.oracle.recommend(Request(user=USER, **options)).encode())
    assert post(running, {"user": USER, **options}).body == expected
    answer = get(running, f"/recommend?user={USER}{query}")
    assert answer.body == expected
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_similar_items(running: Running) -> None:
    running.oracle.look()
    expected = msgspec.json.decode(running.oracle.recommend(Request(similar_to="i1", n=4)).encode())
    answer = get(running, "/items/i1/similar?n=4").body
    assert {**answer, "as_of": None} == {**expected, "as_of": None}
    assert post(running, {"similar_to": "i1", "n": 4}).body == answer


def test_messagepack(running: Running) -> None:
    packed = msgspec.msgpack.encode({"user": USER, "n": 4})
    answer = post(running, packed, **{"Content-Type": "application/msgpack"})
    assert answer.body == post(running, {"user": USER, "n": 4}).body


def test_ratings_are_in_the_topic_and_after_waits_for_them(running: Running) -> None:
    one = call(running.worker, "/ratings", {"user": "caller", "item": "first", "rating": 5})
    assert one.status == 200, one
    ratings = [{"user": "caller", "item": f"more {number}", "rating": 4} for number in range(3)]
    written = call(running.worker, "/ratings", ratings).body["written"]
    assert [each["offset"] for each in written] == [
        one.body["written"][0]["offset"] + 1 + n for n in range(3)
    ]
    answer = known(running, {"user": "caller", "n": 1000, "include_rated": True, "after": written[-1]})
    assert answer.body["cold_start"] is False
    assert {"first", "more 0", "more 1", "more 2"} <= set(answer.items)
    place = f"{written[-1]['partition']}:{written[-1]['offset']}"
    assert get(running, f"/recommend?user=caller&after={place}").status == 200


@pytest.mark.parametrize("item", ["a/b", "50%", "%2F", "a\nb", "ä ö?#", "..", "a+b", "/similar"])
def test_ids_with_slashes_and_percent_signs(running: Running, item: str) -> None:
    written = call(running.worker, "/ratings", {"user": "odd", "item": item, "rating": 5}).body["written"]
    known(running, {"user": "odd", "after": written[0]})
    answer = get(running, f"/items/{quote(item, safe='')}/similar?n=3")
    assert answer.body["cold_start"] is False, answer
    assert item not in answer.items
    assert item in get(running, f"/recommend?user=odd&include_rated=true&n=1000&exclude={quote('i0')}").items


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/recommend", 400, "missing required field `user`"),
        ("/recommend?user=", 400, "$.user"),
        ("/recommend?user=42&n=0", 400, "n must be between 1 and 1000, got 0"),
        ("/recommend?user=42&n=ten", 400, "n must be an integer between 1 and 1000, got 'ten'"),
        ("/recommend?user=42&n=1e400", 400, "n must be"),
        ("/recommend?user=42&explain=maybe", 400, "$.explain"),
        ("/recommend?user=42&after=3:", 400, "$.after"),
        ("/recommend?user=%ff", 400, "UTF-8"),
        ("/recommend?user=42&" + "&".join(["exclude=1"] * 1001), 400, "1000 parameters"),
        ("/recommend?user=42&arm=none-such", 400, "none-such"),
        ("/recommend?user=42&hide_seen=-1", 400, "hide_seen must be between 0 and 1000, got -1"),
        ("/recommend?user=42&hide_seen=often", 400, "hide_seen must be an integer between 0 and 1000"),
        ("/recommend?user=42&hide_seen=1&hide_seen_for=0", 400, "$.hide_seen_for"),
        ("/recommend?history=1&hide_seen=1", 400, "expected it with `user`"),
        ("/recommend?user=42&hide_seen=1", 400, "RECOMMENDER_RECOMMENDATIONS_LOG=on"),
        ("/items/%ff/similar", 400, "UTF-8"),
        ("/items/a/b/similar", 400, "%2F"),
        (f"/items/{'x' * 257}/similar", 400, "$.similar_to"),
    ],
)
def test_bad_queries(running: Running, path: str, status: int, says: str) -> None:
    answer = get(running, path)
    assert (answer.status, answer.error["code"]) == (status, "bad_request")
    assert says in answer.error["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"user": "42", "n": 0}', b"[" * 100_000, b"\xff"]
)
def test_bad_requests(running: Running, body: bytes) -> None:
    answer = post(running, body)
    assert (answer.status, answer.error["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Input data was truncated"),
        (b"[]", "1 to 1000"),
        ([{"user": "1", "item": "2", "rating": 5}] * 1001, "1 to 1000"),
        ([{"user": "good", "item": "2", "rating": 5}, {"user": "bad", "item": "2"}], "in $[1]"),
        ({"user": "1", "item": "2", "rating": 6}, "$.rating"),
        (b"[{]", "JSON"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_ratings_are_not_written(running: Running, body: Any, says: str) -> None:
    answer = call(running.worker, "/ratings", body)
    assert (answer.status, answer.error["code"]) == (400, "bad_request")
    assert says in answer.error["message"]
    assert post(running, {"user": "good"}).body["cold_start"] is True


def test_deadlines(running: Running) -> None:
    past = get(running, "/recommend?user=42", **{"deadline-ms": "1000"})
    assert (past.status, past.error["code"]) == (504, "deadline_exceeded")
    soon = str(int(time.time() * 1000) + 500)
    waits = get(running, "/recommend?user=42&after=1000000000", **{"deadline-ms": soon})
    assert (waits.status, waits.error["code"], waits.headers["retry-after"]) == (503, "not_caught_up", "1")
    assert get(running, "/recommend?user=42", **{"deadline-ms": "soon"}).error["code"] == "bad_request"


def test_other_kinds_of_bodies(running: Running) -> None:
    body = json.dumps({"user": USER}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for headers in (form, {"Content-Type": "text/plain"}, {"Content-Encoding": "gzip"}):
        content = gzip.compress(body) if "Content-Encoding" in headers else body
        answer = post(running, content, **headers)
        assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")
    bomb = call(running.worker, "/ratings", gzip.compress(b" " * 10**8), {"Content-Encoding": "gzip"})
    assert bomb.status == 415
    long = post(running, b'{"user": "' + b"x" * 600_000 + b'"}')
    assert (long.status, long.error["code"]) == (413, "too_large")


HEAD = b"POST /recommend HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def is_closed_to(connection: socket.socket, piece: bytes) -> bool:
    try:
        connection.sendall(piece)
    except ConnectionError:
        return True
    return False


def test_chunked_cut_off_and_endless_bodies(running: Running) -> None:
    chunk = b'{"user": "42"}'
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(chunk), chunk)
    assert sent(running.worker, chunked).startswith(b"HTTP/1.1 200")
    with connected(running.worker) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    with connected(running.worker) as endless:
        endless.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        # What it does not want it reads for a moment only, so that its answer arrives.
        wait_until(lambda: is_closed_to(endless, piece), 20)
    wrong = HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    for text in (wrong, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        assert sent(running.worker, text).split(b" ")[1] == b"400"
    assert get(running, f"/recommend?user={USER}").status == 200


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Origin": "http://shop.example"}, "Origin"),
        ({"Origin": "null"}, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "Sec-Fetch-Site"),
        ({"Sec-Fetch-Site": "same-site"}, "Sec-Fetch-Site"),
        ({"Host": "rebound.example"}, "Host"),
        ({"Host": "["}, "Host"),
    ],
)
def test_pages_of_other_sites_are_refused(running: Running, headers: dict[str, str], says: str) -> None:
    rating = {"user": "foreign", "item": "2", "rating": 5}
    answer = call(running.worker, "/ratings", rating, headers)
    assert (answer.status, answer.error["code"]) == (403, "forbidden")
    assert says in answer.error["message"]
    assert get(running, "/recommend?user=1", **headers).status == 403
    assert get(running, "/livez", **headers).status == 200


def test_the_workers_own_page_may_call(running: Running) -> None:
    own = {"Origin": f"http://127.0.0.1:{running.worker.port}", "Sec-Fetch-Site": "same-origin"}
    assert post(running, {"user": USER}, **own).status == 200


def test_idle_connections_take_nothing_from_others(running: Running) -> None:
    idle = [connected(running.worker) for _ in range(2000)]
    try:
        assert get(running, f"/recommend?user={USER}").status == 200
        with asking(running.kafka, running.topics) as asker:
            assert asker.ask({"user": USER}).body["ok"]
        closed = idle[0]
        assert received(closed) == b""  # the oldest made room
        idle[-1].sendall(b"GET /recommend?user=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert received(idle[-1]).startswith(b"HTTP/1.1 200")
    finally:
        for each in idle:
            each.close()


def test_other_paths_and_methods(running: Running) -> None:
    assert get(running, "/recommended").status == 404
    assert call(running.worker, "/recommend?user=1", method="DELETE").status == 405
    assert get(running, "/ratings").status == 405
    assert get(running, "/openapi.json").body["openapi"].startswith("3.1")


def test_answers_are_counted(running: Running) -> None:
    before = running.worker.metric("recommender_replies_total", code="ok")
    get(running, "/recommend?user=1")
    wait_until(lambda: running.worker.metric("recommender_replies_total", code="ok") == before + 1, 10)


def test_what_schemathesis_makes_of_the_document(running: Running) -> None:
    """Calls that the document allows and calls that it does not: each is answered as it says."""
    document = f"http://127.0.0.1:{running.worker.port}/openapi.json"
    statuses = ["400", "401", "403", "404", "405", "413", "415", "5xx"]
    settings = running.installation.directory / "schemathesis.toml"
    settings.write_text(f"[checks]\nnegative_data_rejection.expected-statuses = {json.dumps(statuses)}\n")
    # 503 and 504 say that it cannot be now, and no arm has a name that was made up; a fault would be counted.
    without = "--exclude-checks=not_a_server_error,positive_data_acceptance"
    checks = [without, "--generation-database=none", "--max-examples=15"]
    command = [sys.executable, "-m", "schemathesis.cli", "run", document, *checks, "--seed=1", "--no-color"]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=running.installation.directory
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert running.worker.metric("recommender_replies_total", code="internal_error") == 0
