"""Arrays and a header in JSON in one ``.npz`` file, without pickle, so that any NumPy can open it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import orjson
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

HEADER = "header"


def write(file: IO[bytes], header: dict[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> None:
    """Write an archive."""
    packed = np.frombuffer(orjson.dumps(header), dtype=np.uint8)
    np.savez(file, **{HEADER: packed}, **arrays)  # type: ignore[arg-type]


def opened(file: IO[bytes]) -> NpzFile:
    """The arrays in an open archive, each read when it is asked for.

    Raises
    ------
    Exception
        Of whatever kind, if it is not one or damaged; later, when an array is read, too.
    """
    if not zipfile.is_zipfile(file):
        # NumPy would take it for something pickled, and advise to trust it.
        raise ValueError("it is not an .npz file, or its end is missing")
    file.seek(0)
    arrays: NpzFile = np.load(file, allow_pickle=False)
    return arrays


def header_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The header of an archive's arrays."""
    header: dict[str, Any] = orjson.loads(arrays[HEADER].tobytes())
    return header
