"""Whether records can be read that somebody has compressed, by any of Kafka's codecs."""

from __future__ import annotations

from typing import Any

from recommender.errors import RecommenderError

#: The package that each client wants for a codec; gzip is in Python.
OF_AIOKAFKA = {"snappy": "cramjam", "lz4": "cramjam", "zstd": "cramjam"}
OF_KAFKA_PYTHON = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}


class CodecMissing(RecommenderError):
    """A package is not installed without which compressed records cannot be read."""


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
