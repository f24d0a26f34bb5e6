"""A shard that a worker holds, and what the worker must know to save it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from recommender.checkpoints.store import CheckpointStore
from recommender.ingest.poison_records import Caution
from recommender.shard.shard import Shard


@dataclass(slots=True)
class Held:
    """A shard that this worker holds.

    Attributes
    ----------
    shard : Shard
    saved : int
        The offset of its newest durable checkpoint; -1 if there is none.
    tainted : bool
        It has passed a record whose dead letter or forwarding is not known to have arrived, or it failed in
        the middle of a record. It must not be saved: a restart reads those records again.
    lock : asyncio.Lock
        Held while records are applied and what they send elsewhere is delivered, and while the state is
        copied: whoever has it sees the shard between two records, with nothing owed.
    caution : Caution
        Learns its log, and knows where a model raised.
    save_error : OSError or None
        Why it could not be saved when that was last tried.
    store : CheckpointStore or None
        Where it is saved, if it was learned with other settings than the worker's own.
    """

    shard: Shard
    saved: int = -1
    tainted: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    caution: Caution = field(default_factory=Caution)
    save_error: OSError | None = None
    store: CheckpointStore | None = None

    @property
    def owed(self) -> bool:
        """Whether it has learned what no checkpoint of it holds."""
        return self.shard.offset != max(self.saved, 0)
