"""Bounds of what is kept, as a worker tells of them: how near each is, and how many left because of it."""

from __future__ import annotations

import logging
from collections import Counter

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from recommender.shard.bounds import ITEM_TTL, MAX_ITEMS, MAX_RATINGS_PER_USER, USER_TTL
from recommender.worker.replicas import HeldReplica

logger = logging.getLogger(__name__)

_OF_TIME = {USER_TTL: "{:g} days", ITEM_TTL: "{:g} days"}
_WHO_LEAVES = {
    MAX_RATINGS_PER_USER: "the oldest ratings of a user with more",
    MAX_ITEMS: "items that were rated longest ago",
    USER_TTL: "users who did nothing for so long",
    ITEM_TTL: "items that nobody rated for so long",
}


class BoundWatch:
    """Counts who left because of which bound, since the worker started, and logs when one is reached first.

    Parameters
    ----------
    registry : CollectorRegistry
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._metric = Metric(
            "recommender_left",
            "Users and items, or ratings of a user, that left because of a bound",
            ["partition", "bound"],
            registry=registry,
        )
        self._left: Counter[tuple[int, str]] = Counter()

    def look(self, held: HeldReplica) -> None:
        """Take note of who left a replica."""
        partition, bounds = held.replica.partition, held.replica.shard.bounds
        for name, count in bounds.take_left().items():
            if not self._left[partition, name]:
                self._log(held, name, bounds.uses()[name].bound)
            self._left[partition, name] += count
            self._metric.labels(str(partition), name).inc(count)

    def _log(self, held: HeldReplica, name: str, bound: float) -> None:
        logger.info(
            "%s: RECOMMENDER_%s is reached: %s; from now on %s leave, and are counted in "
            "recommender_left_total",
            held.replica,
            name.upper(),
            _OF_TIME.get(name, "{:,.0f}").format(bound),
            _WHO_LEAVES.get(name, "users who were active longest ago"),
        )

    def status(self, held: HeldReplica) -> dict[str, dict[str, float | None]]:
        """Each bound of a replica: what it is, what there is now, and how many left since the start."""
        partition = held.replica.partition
        return {
            name: {
                "bound": use.bound,
                "known": None if use.known is None else round(use.known, 3),
                "left": self._left[partition, name],
            }
            for name, use in held.replica.shard.bounds.uses().items()
        }
