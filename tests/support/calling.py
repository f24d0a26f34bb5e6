"""Calls to a worker over HTTP: plain ones, and bytes that no decent client sends."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from recommender.kafka.local.ports import HOST
from tests.support.workers import Worker

SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON that it holds."""
        return json.loads(self.content)

    @property
    def items(self) -> list[str]:
        """The items of a list, best first."""
        assert self.status == 200, self
        return [each["item"] for each in self.body["items"]]

    @property
    def error(self) -> dict[str, Any]:
        """The error of a failure, whose code the header repeats."""
        assert self.body["ok"] is False, self
        error: dict[str, Any] = self.body["error"]
        assert self.headers["error-code"] == error["code"]
        return error


def call(
    worker: Worker,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    method: str | None = None,
) -> Answer:
    """Call a worker: POST where there is a body, which is sent as JSON unless it is bytes already."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    given = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(
        f"http://{HOST}:{worker.port}{path}", content, {**given, **(headers or {})}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            return _answer(answer.status, answer)
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error)


def _answer(status: int, answer: Any) -> Answer:
    return Answer(status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())


def connected(worker: Worker) -> socket.socket:
    """A connection, on which nothing was sent yet."""
    return socket.create_connection((HOST, worker.port), timeout=SECONDS)


def sent(worker: Worker, text: bytes) -> bytes:
    """What is answered to these bytes until the worker closes the connection or the answer is whole."""
    with connected(worker) as connection:
        connection.sendall(text)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    """What comes until the end, or until a whole answer is there."""
    found = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionError:
            return found
        found += piece
        head, _, body = found.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if not piece or (length and len(body) >= int(length[0].split(b":")[1])):
            return found
