"""Schema registries for the tests: a small one that can be made to fail, and Apicurio's, from packages."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from recommender.kafka.local.java import QUICK_START, java
from recommender.kafka.local.ports import HOST, free_port
from tests.support.kafka import wait_until

APICURIO = "3.3.3"
#: The first start on a machine fetches 158 MB.
START_SECONDS = 120.0


class SmallRegistry:
    """A registry with Confluent's interface for what is looked up.

    Attributes
    ----------
    schemas : dict of str to dict
        What it answers, by the path after its URL.
    status : int
        What it answers instead; 0: the truth.
    body : bytes
        What it says then.
    login : str
        ``user:password`` that it asks for.
    asked : list of str
    """

    def __init__(self) -> None:
        self.schemas: dict[str, dict[str, Any]] = {}
        self.status, self.body, self.login = 0, b"", ""
        self.asked: list[str] = []
        self.hangs = threading.Event()
        self.released = threading.Event()

    def put(self, number: int, schema: Any, kind: str = "AVRO", **more: Any) -> None:
        """Have a schema under a number."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        self.schemas[f"/schemas/ids/{number}"] = {"schema": text, "schemaType": kind, **more}

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """The status and body for a request."""
        self.asked.append(path)
        if self.hangs.is_set():
            self.released.wait(30)
        wanted = "Basic " + base64.b64encode(self.login.encode()).decode()
        if self.login and authorization != wanted:
            return 401, b'{"error_code": 401}'
        if self.status:
            return self.status, self.body
        if path in self.schemas:
            return 200, json.dumps(self.schemas[path]).encode()
        known = path.startswith("/schemas/ids/")
        return 404, b'{"error_code": 40403, "message": "Schema not found"}' if known else b"<html>404</html>"


@contextmanager
def small_registry(context: ssl.SSLContext | None = None) -> Iterator[tuple[str, SmallRegistry]]:
    """The URL of a small registry, and the registry; with a context for TLS."""
    registry = SmallRegistry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = registry.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer((HOST, 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http{'s' if context else ''}://{HOST}:{server.server_port}", registry
    finally:
        registry.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


#: Python 3.11.2 does not know it yet, and takes what is in the archive, which is Apicurio's own, as it is.
_FILTER: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}


@contextmanager
def apicurio(directory: Path) -> Iterator[str]:
    """Apicurio's registry, as its URL for Confluent's clients."""
    from jgo.maven import MavenContext

    project = MavenContext().project("io.apicurio", "apicurio-registry-app").at_version(APICURIO)
    with tarfile.open(project.artifact("all", "tar.gz").resolve()) as packed:
        packed.extractall(directory, **_FILTER)
    port, management = free_port(), free_port()
    addresses = {
        "QUARKUS_HTTP_HOST": HOST,
        "QUARKUS_HTTP_PORT": str(port),
        "QUARKUS_MANAGEMENT_HOST": HOST,
        "QUARKUS_MANAGEMENT_PORT": str(management),
    }
    command = [java(), "-Xmx384m", QUICK_START]
    url = f"http://{HOST}:{port}/apis/ccompat/v7"
    with (directory / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-jar", "quarkus-run.jar"],
            cwd=directory,
            env={**os.environ, **addresses},
            stdout=log,
            stderr=log,
        )
        try:
            wait_until(lambda: _answers(process, f"{url}/subjects"), START_SECONDS, f"{url} does not answer")
            yield url
        finally:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "the registry has ended"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
