"""The compiled kernels: ready before the first rating, and compiled in two processes where none is cached.

numba keeps what it has compiled on the disk, so this takes a second but for the first time. Compiling is
Python's work, which threads would not share.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

from recommender import id_table, rating_json, top
from recommender.history import history, snapshot
from recommender.models import registry

#: What no model needs to be compiled itself, the longest first.
ROOMS = (history, rating_json, id_table, snapshot)


def warm(specs: Sequence[str] = ()) -> None:
    """Compile, or load from the cache, the kernels of learning and answering.

    Parameters
    ----------
    specs : sequence of str
        The models, as ``NAME`` or ``NAME/option=value``; all by default.
    """
    top.warm()
    with _helped() if top.was_compiled() else contextlib.nullcontext():
        registry.warm(specs)
    for room in ROOMS:
        room.warm()


@contextlib.contextmanager
def _helped() -> Iterator[None]:
    """Compile the other rooms' kernels meanwhile; whatever comes of it, all is compiled in the end."""
    command = [sys.executable, "-m", "recommender.kernels"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as helper:
        try:
            yield
            helper.wait()
        finally:
            helper.kill()


if __name__ == "__main__":
    for each in ROOMS:
        each.warm()
