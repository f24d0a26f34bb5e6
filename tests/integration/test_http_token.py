"""A worker that is open to the network: with a token, and without; and one whose broker goes away."""

from __future__ import annotations

from pathlib import Path

from tests.support.calling import call, sent
from tests.support.workers import installed

TOKEN = "correct horse"


def test_a_token_opens_what_is_closed_without(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "token") as installation:
        guarded = installation.worker(web_host="0.0.0.0", web_token=TOKEN).start()
        closed = installation.worker(web_host="0.0.0.0").start()
        for worker in (guarded, closed):
            worker.ready()
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer wrong"}, 401),
            ({"Authorization": TOKEN}, 401),
            ({"Authorization": "Basic " + TOKEN}, 401),
            ({"Authorization": "Bearer"}, 401),
            ({"Authorization": "Bearer " + TOKEN}, 200),
            ({"Authorization": "bearer " + TOKEN, "Host": "shop.example"}, 200),
            ({"Authorization": "Bearer " + TOKEN, "Origin": "http://other.example"}, 403),
        ):
            answer = call(guarded, "/recommend?user=42", None, headers)
            assert answer.status == status, (headers, answer)
            assert call(guarded, "/ratings", b"no rating", headers).status == (
                400 if status == 200 else status
            )
            if status == 401:
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.content.decode()
        long = sent(guarded, b"GET /recommend HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"x" * 2**20)
        assert long == b"" or long.split(b" ")[1] in (b"400", b"431")
        refused = call(closed, "/recommend?user=42")
        assert (refused.status, refused.error["code"]) == (403, "forbidden")
        assert "RECOMMENDER_WEB_TOKEN" in refused.error["message"]
        for worker in (guarded, closed):
            assert worker.page("livez")[0] == 200
            assert call(worker, "/openapi.json").status == 200
            assert "Traceback" not in worker.log
        assert TOKEN not in guarded.log
