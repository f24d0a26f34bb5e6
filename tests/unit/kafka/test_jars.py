"""Fetching Apache Kafka, from a repository on this machine that serves small files under its names."""

from __future__ import annotations

import gc
import hashlib
import http.server
import io
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from recommender.errors import RecommenderError
from recommender.kafka.local.jars import FetchError, fetch_kafka
from recommender.kafka.local.release import Jar, pinned_jars

CONTENTS = {f"part-{number}": bytes([number]) * 30_000 for number in range(5)}


def jar(artifact: str, content: bytes) -> Jar:
    return Jar("org.example.kafka", artifact, "1.0", len(content), hashlib.sha256(content).hexdigest())


JARS = [jar(artifact, content) for artifact, content in CONTENTS.items()]


class Repository:
    """A Maven repository that counts what is asked of it."""

    def __init__(self) -> None:
        self.contents = dict(CONTENTS)
        self.requested: list[str] = []
        self.lock = threading.Lock()
        repository = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                repository.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self.server.server_port}/maven2"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        *directories, artifact, version, name = handler.path.strip("/").split("/")
        if directories != ["maven2", "org", "example", "kafka"] or name != f"{artifact}-{version}.jar":
            handler.send_error(404)
            return
        with self.lock:
            self.requested.append(artifact)
        if artifact not in self.contents:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(self.contents[artifact])))
        handler.end_headers()
        handler.wfile.write(self.contents[artifact])


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    served = Repository()
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {served.url}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    thread = threading.Thread(target=served.server.serve_forever, args=[0.05])
    thread.start()
    yield served
    served.server.shutdown()
    served.server.server_close()
    thread.join()


def fetch() -> tuple[list[Path], list[str]]:
    """The class path and what was said meanwhile."""
    said = io.StringIO()
    return fetch_kafka(Console(file=said, width=200), JARS), said.getvalue().splitlines()


def leftovers(directory: Path) -> set[str]:
    return {each.name for each in directory.iterdir()} - {each.filename for each in JARS}


def test_the_pins_are_those_of_one_broker() -> None:
    jars = pinned_jars()
    assert len({each.filename for each in jars}) == len(jars) == 46
    assert {each.version for each in jars if each.group == "org.apache.kafka"} == {"4.3.1"}
    assert all(len(each.sha256) == 64 and each.size > 0 for each in jars)


def test_each_file_is_fetched_once(repository: Repository, tmp_path: Path) -> None:
    paths, said = fetch()
    assert [each.read_bytes() for each in paths] == list(CONTENTS.values())
    assert sorted(repository.requested) == sorted(CONTENTS)
    assert said[0].startswith("Fetching Apache Kafka 4.3.1: 5 files, 0 MB, once, into " + str(tmp_path))
    assert len(said) == 5
    assert leftovers(paths[0].parent) == {"lock"}
    assert fetch() == (paths, [])
    assert len(repository.requested) == len(CONTENTS)
    assert {each.name for each in tmp_path.iterdir()} == {"cache", "jgo.conf"}


def test_only_what_is_missing_or_cut_off_is_fetched(repository: Repository) -> None:
    paths, _ = fetch()
    repository.requested.clear()
    paths[1].unlink()
    paths[3].write_bytes(b"cut off")
    (paths[0].parent / "partial").mkdir()
    (paths[0].parent / "partial" / "rest").write_text("of a download that was killed")
    fetch()
    assert sorted(repository.requested) == ["part-1", "part-3"]
    assert [each.read_bytes() for each in paths] == list(CONTENTS.values())
    assert leftovers(paths[0].parent) == {"lock"}


def test_another_content_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.contents["part-2"] = b"x" * 30_000
    with pytest.raises(
        FetchError, match=r"part-2-1\.0\.jar as fetched has SHA-256 .* not the published file"
    ):
        fetch()
    assert not list(tmp_path.rglob("part-2-1.0.jar"))


def test_a_file_that_the_repository_lacks(repository: Repository) -> None:
    del repository.contents["part-4"]
    with pytest.raises(FetchError, match=rf"part-4-1\.0\.jar could not be fetched from {repository.url}: "):
        fetch()
    # jgo leaves the answer that it has no use for open.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_cache_that_cannot_be_written(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    with pytest.raises(FetchError, match="could not be kept in the cache"):
        fetch()


def test_without_the_resolver(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.config", None)
    with pytest.raises(RecommenderError, match=r'pip install "faust-recommender\[local\]"'):
        fetch()


def test_a_bar_on_a_terminal(repository: Repository) -> None:
    shown = io.StringIO()
    fetch_kafka(Console(file=shown, width=120, force_terminal=True), JARS)
    assert "150.0/150.0 kB" in shown.getvalue()


FETCHER = """
    import sys
    from recommender.kafka.local import jars
    from recommender.kafka.local.release import Jar
    pins = [Jar(*row) for row in {rows}]
    jars.pinned_jars = lambda: pins
    for path, pin in zip(jars.fetch_kafka(), pins, strict=True):
        assert path.stat().st_size == pin.size
"""


def test_processes_at_once_share_one_download(repository: Repository) -> None:
    script = textwrap.dedent(FETCHER).format(rows=[tuple(each) for each in JARS])
    fetchers = [
        subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for each in fetchers:
        _, errors = each.communicate(timeout=60)
        assert each.returncode == 0, errors
    assert sorted(repository.requested) == sorted(CONTENTS)
