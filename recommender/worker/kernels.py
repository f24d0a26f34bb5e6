"""The kernels of a worker: those of its models and shard, and those that decode and read the journal.

``python -m recommender.worker.kernels blend`` compiles all that a worker with this model needs, with
sources or without.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

from recommender.ingest import field_json, rating_json
from recommender.journal import block, rule
from recommender.shard import warmup

#: Modules with kernels that a shard does not need, the longest first.
MODULES = (rating_json, rule, block)
#: Those that only sources need.
OF_SOURCES = (field_json,)


def warm(specs: Sequence[str] = (), *, sources: bool = False) -> None:
    """Compile, or load from the cache, all that a worker needs.

    Parameters
    ----------
    specs : sequence of str
        The models, as ``NAME`` or ``NAME/option=value``; all by default.
    sources : bool
        The worker has sources.
    """
    warmup.warm(specs, (*MODULES, *OF_SOURCES) if sources else MODULES)


@contextlib.contextmanager
def warming(*specs: str) -> Iterator[subprocess.Popen[bytes]]:
    """Do it in another process, while this one is at something else; `wait` before a worker starts."""
    with warmup.running(__name__, *specs) as other:
        yield other


if __name__ == "__main__":
    warm(sys.argv[1:], sources=True)
