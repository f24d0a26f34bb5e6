"""Follows the items topic, from its beginning on each start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recommender.items.store import ItemStore
from recommender.kafka.topics import TopicInfo
from recommender.messages.items import decode_item
from recommender.worker.topic_following import TopicFollowing


class ItemsFollowing(TopicFollowing):
    """Keeps a store as the items topic says.

    Parameters
    ----------
    store : ItemStore
    topic, options, identify, counted
        As `TopicFollowing` has them.
    changed : function
        Called after records were taken over.
    """

    def __init__(
        self,
        store: ItemStore,
        topic: str,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        changed: Callable[[], None],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__(topic, options, identify, counted)
        self._store, self._changed = store, changed

    def take(self, records: Sequence[Any]) -> int:
        """Take over what records say of items."""
        return self.take_each(records, self._take)

    def _take(self, record: Any) -> None:
        self._store.put(*decode_item(record.key, record.value, record.headers))

    def taken(self) -> None:
        """Tell of the change."""
        self._changed()

    def size(self) -> str:
        """How many items there are, in words."""
        return f"{len(self._store)} items"

    def status(self) -> dict[str, Any]:
        """What the status page shows."""
        return {
            **super().status(),
            "items": len(self._store),
            "unavailable": self._store.hiding,
            "categories": len(self._store.categories),
        }
