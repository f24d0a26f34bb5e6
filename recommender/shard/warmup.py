"""The compiled kernels: ready before the first rating, and compiled in two processes where none is cached.

numba keeps what it has compiled on the disk, so this takes a second but for the first time. Compiling is
Python's work, which threads would not share.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

from recommender.history import catalog_snapshot, history, id_table, snapshot
from recommender.items import shown, view
from recommender.models import elementary, randomness, registry, topk
from recommender.shard import activity, feedback, live_metrics
from recommender.shard.learned import POPULAR

logger = logging.getLogger(__name__)

#: Modules with kernels of a shard that no model compiles itself, the longest first.
MODULES = (
    history,
    id_table,
    snapshot,
    catalog_snapshot,
    activity,
    live_metrics,
    elementary,
    view,
    shown,
    feedback,
    randomness,
)


def warm(specs: Sequence[str] = (), further: Sequence[ModuleType] = ()) -> None:
    """Compile, or load from the cache, the kernels of learning and answering.

    Parameters
    ----------
    specs : sequence of str
        The models, as ``NAME`` or ``NAME/option=value``; all by default.
    further : sequence of module
        Modules with further kernels, which a function ``warm`` compiles.
    """
    others = [module for module in (*further, *MODULES) if module is not history]
    topk.warm()
    with _compiling(others, specs) if topk.was_compiled() else contextlib.nullcontext():
        history.warm()  # before models, which all need it
        registry.warm((*specs, POPULAR) if specs else ())  # every shard knows what is popular
    for module in others:
        module.warm()


@contextlib.contextmanager
def running(module: str, *names: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module that compiles in another process; it is ended with the block, if it has not ended before.

    Parameters
    ----------
    module : str
    *names : str
        What it is to compile.
    """
    command = [sys.executable, "-m", module, *names]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        try:
            yield other
        finally:
            other.kill()


@contextlib.contextmanager
def _compiling(modules: Sequence[ModuleType], specs: Sequence[str]) -> Iterator[None]:
    """Say so, and compile a part in another process meanwhile; whatever comes of it, all is in the end."""
    logger.info("compiling, which takes half a minute the first time; it is kept in %s", topk.kept_in())
    names = [module.__name__ for module in modules]
    with running("recommender.shard.warmup", *names, *specs) as helper:
        yield
        helper.wait()


def _main(names: Sequence[str]) -> None:
    """Compile modules, and then of models what takes longest: the part of another process that warms."""
    modules = [name for name in names if name.startswith("recommender.")]
    for name in modules:
        importlib.import_module(name).warm()
    registry.warm_longest([name for name in names if name not in modules])


if __name__ == "__main__":
    _main(sys.argv[1:])
