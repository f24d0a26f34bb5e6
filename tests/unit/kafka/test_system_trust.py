"""Downloads from a server whose authority only the system knows, as behind a company's proxy."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from rich.console import Console

from recommender.errors import SourceError
from recommender.evaluation.datasets import download
from recommender.kafka import system_trust
from recommender.kafka.local.jars import FetchError, fetch_kafka
from recommender.kafka.local.release import Jar

CONTENT = b"x" * 5000
JAR = Jar("org.example.kafka", "part", "1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.endswith(".sha1"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Be silent about whoever does not trust us and hangs up."""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def address(authority: trustme.CA) -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def known(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system knows the authority: this variable names its list."""
    path = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))


@pytest.fixture
def repository(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apache Kafka is one file, at the server."""
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {address}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("known", "repository")
def test_apache_kafka_is_fetched() -> None:
    before = ssl.SSLContext
    (path,) = fetch_kafka(Console(quiet=True), [JAR])
    assert path.read_bytes() == CONTENT
    assert ssl.SSLContext is before


@pytest.mark.usefixtures("repository")
def test_nobody_else_is_trusted_with_apache_kafka() -> None:
    with pytest.raises(FetchError, match=r"part-1\.0\.jar could not be fetched from .*certificate"):
        fetch_kafka(Console(quiet=True), [JAR])


@pytest.mark.usefixtures("known")
def test_a_data_set_is_fetched(address: str) -> None:
    assert download.content_of(address) == CONTENT


def test_nobody_else_is_trusted_with_a_data_set(address: str) -> None:
    with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
        download.content_of(address)


def test_what_was_there_before_comes_back_with_the_last() -> None:
    before = ssl.SSLContext
    with system_trust.everywhere():
        with system_trust.everywhere():
            assert ssl.SSLContext is not before
        assert ssl.SSLContext is not before
    assert ssl.SSLContext is before
