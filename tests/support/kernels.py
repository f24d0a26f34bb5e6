"""All kernels, compiled in several processes at once before tests begin, which would else each do that."""

from __future__ import annotations

import importlib
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

#: Stands for what `Model.warm_longest` compiles of all models.
LONGEST = "longest"
#: What takes longest begins first, and what shares kernels with others comes when they have theirs.
FIRST = (
    "recommender.history.history",
    "recommender.ingest.rating_json",
    "blend",
    LONGEST,
    "mf",
    "knn-baseline",
)
LAST = ("sequence-knn", "item-knn")
#: More would need more memory than a small machine has.
MOST_PROCESSES = 4


def compile_all() -> None:
    """Compile what is not in numba's cache on the disk: what all models share, and then the models."""
    workers = min(os.cpu_count() or 1, MOST_PROCESSES)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for names in pool.submit(_names).result():
            list(pool.map(_warm, sorted(names, key=lambda name: (name in LAST, name not in FIRST))))


def _names() -> tuple[list[str], list[str]]:
    """The modules and the models that have kernels; asked in another process, which numba is loaded into."""
    from recommender.models import registry, topk
    from recommender.shard import warmup
    from recommender.worker import kernels

    modules = [module.__name__ for module in (topk, *warmup.MODULES, *kernels.MODULES)]
    return modules, [LONGEST, *(name for name, _ in registry.describe() if ":" not in name)]


def _warm(name: str) -> None:
    from recommender.models import registry

    if name.startswith("recommender."):
        importlib.import_module(name).warm()
    elif name == LONGEST:
        registry.warm_longest()
    else:
        registry.warm([name])
