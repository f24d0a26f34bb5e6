"""The compiled kernels: ready before the first rating, and compiled in two processes where none is cached.

numba keeps what it has compiled on the disk, so this takes a second but for the first time. Compiling is
Python's work, which threads would not share.
"""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence

from recommender.history import history, id_table, snapshot
from recommender.ingest import rating_json
from recommender.journal import block, rule
from recommender.models import registry, topk
from recommender.shard import live_metrics

logger = logging.getLogger(__name__)

#: What no model needs to be compiled itself, the longest first.
ROOMS = (history, rating_json, id_table, snapshot, live_metrics, rule, block)


def warm(specs: Sequence[str] = ()) -> None:
    """Compile, or load from the cache, the kernels of learning and answering.

    Parameters
    ----------
    specs : sequence of str
        The models, as ``NAME`` or ``NAME/option=value``; all by default.
    """
    topk.warm()
    with _compiling() if topk.was_compiled() else contextlib.nullcontext():
        registry.warm(specs)
    for room in ROOMS:
        room.warm()


@contextlib.contextmanager
def warming(*specs: str) -> Iterator[subprocess.Popen[bytes]]:
    """Do it in another process, while this one has other things to do; `wait` for it before you need them.

    Parameters
    ----------
    *specs : str
        The models; without any, what every model needs.
    """
    command = [sys.executable, "-m", "recommender.shard.warmup", *specs]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            yield other
        finally:
            other.kill()


@contextlib.contextmanager
def _compiling() -> Iterator[None]:
    """Say so, and compile the other rooms' kernels meanwhile; whatever comes of it, all is in the end."""
    logger.info("compiling, which takes half a minute the first time; it is kept in %s", topk.kept_in())
    with warming() as helper:
        yield
        helper.wait()


if __name__ == "__main__":
    if sys.argv[1:]:
        warm(sys.argv[1:])
    else:
        for each in ROOMS:
            each.warm()
