"""What a process does before it becomes a worker, whoever starts it."""

from __future__ import annotations

import gc

from recommender.ingest import rating_json
from recommender.journal import block, rule
from recommender.settings import Settings
from recommender.shard import warmup
from recommender.shard.options import arms_of

#: So many objects are made between two collections: the records of some fetches.
COLLECT_AFTER = 100_000


def prepare(config: Settings) -> None:
    """Have the kernels ready before the first rating, and keep the garbage collector out of the way.

    Fetched records come in tens of thousands of objects that live for a fraction of a second, and by default
    each 700 of them start a collection. None of them is garbage in a cycle.

    Parameters
    ----------
    config : Settings
        Names the models.
    """
    warmup.warm(arms_of(config).names, (rule, block, rating_json))
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 10, 10)
