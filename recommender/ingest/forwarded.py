"""Which forwarded ratings a shard has seen, so that each counts once however often it is forwarded."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from recommender.messages.ratings import Headers, header

#: On a forwarded rating: the partition and offset it came from, as ``3:1042``.
SOURCE = "recommender-source"
#: Kafka's offsets are below it, and so is what a checkpoint keeps of them.
MAX_OFFSET = 2**63 - 1
#: Offsets remembered of each source. Whoever forwards waits for a run's ratings to arrive before it forwards
#: the next, so two of them can change places only within a run, which is shorter than this.
KEPT = 2048


def source_of(headers: Headers, partitions: int) -> tuple[int, int] | None:
    """The partition and offset that a rating was forwarded from; None if it was not."""
    text = header(headers, SOURCE)
    if text is None:
        return None
    try:
        partition, offset = (int(part) for part in text.split(b":"))
    except ValueError:
        return None  # a header of that name that is not ours
    return (partition, offset) if 0 <= partition < partitions and 0 <= offset < MAX_OFFSET else None


class Forwarded:
    """The newest offsets that each partition has forwarded here.

    Whoever forwards does so in the order of its log, and after a crash again from its checkpoint. So what is
    older than all that is remembered has been here, and what is not older and not remembered has not.
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[int]] = {}
        self._known: dict[int, set[int]] = {}

    def is_first(self, source: int, offset: int) -> bool:
        """Whether a rating is here for the first time; from now on it has been."""
        kept, known = self._kept.setdefault(source, []), self._known.setdefault(source, set())
        if offset in known or (len(kept) == KEPT and offset < kept[0]):
            return False
        heapq.heappush(kept, offset)
        known.add(offset)
        if len(kept) > KEPT:
            known.remove(heapq.heappop(kept))
        return True

    def reached(self) -> dict[int, int]:
        """For each source the offset after the newest that was seen."""
        return {source: max(kept) + 1 for source, kept in self._kept.items()}

    def state(self) -> NDArray[np.int64]:
        """Rows of source and offset, ascending."""
        rows = sorted((source, offset) for source, kept in self._kept.items() for offset in kept)
        return np.array(rows, dtype=np.int64).reshape(-1, 2)

    def restore(self, state: NDArray[np.generic]) -> None:
        """Take over what `state` gave."""
        self._kept, self._known = {}, {}
        for source, offset in state.tolist():
            self._kept.setdefault(source, []).append(offset)  # ascending, so already a heap
            self._known.setdefault(source, set()).add(offset)
