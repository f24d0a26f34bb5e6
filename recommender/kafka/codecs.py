"""Kafka's codecs: that all of them are there, and what they have compressed, up to a size."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from recommender.errors import RecommenderError

#: The package that each client wants for a codec; gzip is in Python.
OF_AIOKAFKA = {"snappy": "cramjam", "lz4": "cramjam", "zstd": "cramjam"}
OF_KAFKA_PYTHON = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}

#: No batch may become larger than this, in bytes. A broker bounds what a batch is when it is compressed, by
#: default to a megabyte; of nothing but zeros that can become gigabytes, and end each worker that reads it.
MOST = 256 * 1024 * 1024
_PART = 1024 * 1024
_GZIP = 31
#: How the snappy of Java's library begins, before two numbers and blocks that have their length in front.
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class CodecMissing(RecommenderError):
    """A package is not installed without which compressed records cannot be read."""


class CannotRead(ValueError):
    """Bytes are not what they should be."""


def require(client: Any, packages: dict[str, str]) -> None:
    """Make sure that a client reads all codecs.

    Parameters
    ----------
    client : module
        The client's ``codec`` module, which knows what it has.
    packages : dict of str to str
        The package for each codec.

    Raises
    ------
    CodecMissing
        It does not; names the codecs and the packages.
    """
    missing = [name for name in packages if not getattr(client, f"has_{name}")()]
    if missing:
        wanted = sorted({packages[name] for name in missing})
        raise CodecMissing(
            f"Records that are compressed with {', '.join(missing)} cannot be read: Python package"
            f"{'s' if len(wanted) > 1 else ''} {', '.join(wanted)} missing. "
            f"`pip install {' '.join(wanted)}` installs what is missing"
        )


def decompressed(codec: int, data: bytes, most: int = MOST) -> bytes:
    """The records of a batch as they were before they were compressed.

    Parameters
    ----------
    codec : int
        As a batch's attributes have it; not 0.
    data : bytes
    most : int
        How many bytes may come out.

    Raises
    ------
    CannotRead
        There is no such codec, the data are not of it or cut off, or too much comes out.
    """
    if codec not in _CODECS:
        raise CannotRead(f"the batch cannot be decompressed: there is no codec {codec}")
    name, parts = _CODECS[codec]
    found, size = [], 0
    try:
        for part in parts(data, most):
            size += len(part)
            if size > most:
                raise CannotRead(f"more than {most} bytes come out")
            found.append(part)
    except MemoryError:
        raise
    except Exception as error:  # each library has its own
        raise CannotRead(f"the batch cannot be decompressed, codec {name}: {error}") from error
    return found[0] if len(found) == 1 else b"".join(found)


def _gzip(data: bytes, most: int) -> Iterator[bytes]:
    while data:
        stream = zlib.decompressobj(_GZIP)
        yield stream.decompress(data, most + 1)
        if not stream.eof:
            raise CannotRead("the data are cut off, or too much comes out")
        data = stream.unused_data


def _snappy(data: bytes, most: int) -> Iterator[bytes]:
    if not data.startswith(_XERIAL):
        yield _snappy_block(data, most)
        return
    # Some write the numbers of the header in another byte order than Java: they say nothing.
    begin = _XERIAL_HEADER
    while begin < len(data):
        end = begin + 4 + int.from_bytes(data[begin : begin + 4], "big")
        if not begin + 4 < end <= len(data):
            raise CannotRead(f"a block of {end - begin - 4} bytes, of {len(data) - begin - 4} that are left")
        yield _snappy_block(data[begin + 4 : end], most)
        begin = end


def _snappy_block(data: bytes, most: int) -> bytes:
    import cramjam

    size = cramjam.snappy.decompress_raw_len(data)
    if size > most:
        raise CannotRead(f"{size} bytes come out")
    return bytes(cramjam.snappy.decompress_raw(data))


def _lz4(data: bytes, most: int) -> Iterator[bytes]:
    from lz4.frame import LZ4FrameDecompressor

    while data:
        stream = LZ4FrameDecompressor()
        part = stream.decompress(data, _PART)
        while not stream.eof:
            if not part:
                raise CannotRead("the data are cut off")
            yield part
            part = stream.decompress(b"", _PART)
        yield part
        data = stream.unused_data or b""


def _zstd(data: bytes, most: int) -> Iterator[bytes]:
    from zstandard import ZstdDecompressor

    with ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True) as stream:
        while part := stream.read(_PART):
            yield part


_CODECS: dict[int, tuple[str, Callable[[bytes, int], Iterable[bytes]]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
