"""The places that have ML-100K, each tried once and given up quickly."""

from __future__ import annotations

import hashlib
import http.client
import io
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from recommender.errors import SourceError
from recommender.kafka import system_trust

ZIP_URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
#: As GroupLens publishes it next to the archive.
ZIP_MD5 = "0e33842e24a9c977be4e0107933c0723"
WHEEL = "recbole==1.2.1"
#: Of the titles in that wheel; the ratings are the same from every source and checked by the caller.
WHEEL_ITEM_SHA256 = "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532"

#: Seconds until a server that does not answer counts as absent.
CONNECT_SECONDS = 4.0
#: Seconds for a whole download.
DOWNLOAD_SECONDS = 120.0
_MAX_ZIP_BYTES = 16 * 1024 * 1024


class Download(NamedTuple):
    """A data set as it came.

    Attributes
    ----------
    ratings : bytes
        The content of u.data: tab-separated user, item, rating, timestamp, without a header.
    titles : bytes
        The content of a file of titles.
    titles_format : str
        ``u.item`` or ``.item``.
    """

    ratings: bytes
    titles: bytes
    titles_format: str


def from_grouplens(url: str = ZIP_URL, within: float = CONNECT_SECONDS) -> Download:
    """GroupLens' archive.

    Parameters
    ----------
    url : str
    within : float
        Seconds until a server that does not answer counts as absent.

    Raises
    ------
    SourceError
        The server cannot be reached, or its archive is not the published one.
    """
    content = content_of(url, within)
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != ZIP_MD5:
        raise SourceError(f"the archive has MD5 {actual}, expected {ZIP_MD5}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return Download(archive.read("ml-100k/u.data"), archive.read("ml-100k/u.item"), "u.item")


def from_recbole(wheel: str = WHEEL) -> Download:
    """The copy in RecBole's wheel, through pip and whatever index it is configured for.

    Parameters
    ----------
    wheel : str
        Its name and version.

    Raises
    ------
    SourceError
        pip cannot download the wheel, or the wheel does not hold what it should.
    """
    with tempfile.TemporaryDirectory(prefix="faust-recommender-") as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--no-input", "--retries=1", "--timeout=10"]
        # pip does so by itself since 24.2.
        command += ["--use-feature=truststore"]
        try:
            done = subprocess.run(
                [*command, "--dest", directory, wheel],
                capture_output=True,
                text=True,
                errors="replace",
                stdin=subprocess.DEVNULL,
                timeout=DOWNLOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(f"pip download {wheel} took over {DOWNLOAD_SECONDS:g} s") from None
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SourceError(f"pip download {wheel} failed: {last}")
        return _unpack_wheel(next(Path(directory).glob("*.whl")))


def _unpack_wheel(wheel: Path) -> Download:
    within = "recbole/dataset_example/ml-100k/ml-100k"
    try:
        with zipfile.ZipFile(wheel) as archive:
            ratings, items = archive.read(f"{within}.inter"), archive.read(f"{within}.item")
    except (zipfile.BadZipFile, KeyError) as error:
        raise SourceError(f"{wheel.name} is not the expected wheel: {error}") from None
    actual = hashlib.sha256(items).hexdigest()
    if actual != WHEEL_ITEM_SHA256:
        raise SourceError(f"the titles have SHA-256 {actual}, expected {WHEEL_ITEM_SHA256}")
    # Without its header the file is u.data.
    return Download(ratings.partition(b"\n")[2], items, ".item")


def content_of(url: str, within: float = CONNECT_SECONDS) -> bytes:
    """The content at `url`; also a name server that never answers is given up in time."""
    result: list[http.client.HTTPResponse | Exception] = []

    def connect() -> None:
        try:
            trusted = system_trust.context()
            result.append(urllib.request.urlopen(url, timeout=within, context=trusted))
        except (OSError, http.client.HTTPException) as error:
            result.append(error)

    # A daemon, because no timeout reaches into the resolver and nothing may wait for it at exit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(within)
    if not result:
        raise SourceError(f"{url} did not answer within {within:g} s")
    if isinstance(result[0], Exception):
        raise SourceError(f"{url} cannot be reached: {result[0]}")
    return _drain(url, result[0])


def _drain(url: str, response: http.client.HTTPResponse) -> bytes:
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    content = bytearray()
    try:
        with response:
            while part := response.read1(65536):
                content += part
                if time.monotonic() > deadline or len(content) > _MAX_ZIP_BYTES:
                    raise SourceError(f"{url} is too slow or too long: gave up after {len(content)} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise SourceError(f"{url} broke off after {len(content)} bytes: {error}") from None
    return bytes(content)


#: In the order in which they are tried.
SOURCES: dict[str, Callable[[], Download]] = {"GroupLens": from_grouplens, "the recbole wheel": from_recbole}
